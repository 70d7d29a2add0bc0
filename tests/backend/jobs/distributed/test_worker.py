"""The distributed worker on a real Redis, with a refresher that does what it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rq import Queue
from rq.job import Job

from backend.jobs.base import Stopped
from backend.jobs.distributed.caretaker import Caretaker
from backend.jobs.distributed.jobs import (
    REFRESH,
    SERIALIZER,
    ForeignJob,
    LineupJob,
    RefreshFailed,
    job_id,
    provide,
    queue,
    waiting_projects,
)
from backend.jobs.distributed.lease import Lease, is_leased, project_lease
from backend.jobs.distributed.rq_worker import InProcessWorker
from backend.jobs.distributed.worker import DistributedWorker
from backend.jobs.locks import project_lock
from backend.settings import Settings
from backend.status import read_status
from tests.backend.jobs.fakes import Refresher
from tests.backend.trained import make_settings
from tests.redis_server import RedisServer

Progress = Callable[[str, int, int], None]


@dataclass
class Scene:
    """Two workers of one Redis and one folder."""

    settings: Settings
    one: DistributedWorker
    other: DistributedWorker
    redis: RedisServer

    def status(self):
        return read_status(self.settings.project_dir(7))

    def jobs(self) -> set[str]:
        registry = queue(self.one.connection).scheduled_job_registry
        return {entry.decode() for entry in self.one.connection.zrange(registry.key, 0, -1)}

    def caretaker(self, worker: DistributedWorker) -> Caretaker:
        return Caretaker(self.settings, worker.name, worker.refresher.known_projects, threading.Event())


@pytest.fixture
def scene(tmp_path, redis_server: RedisServer) -> Scene:
    settings = make_settings(
        tmp_path, redis_url=redis_server.url, debounce_quiet=0.0, debounce_max=0.0, lease_seconds=30
    )
    one, other = (DistributedWorker(settings, Refresher()) for _ in range(2))
    return Scene(settings, one, other, redis_server)


def refresher(worker: DistributedWorker) -> Refresher:
    assert isinstance(worker.refresher, Refresher)
    return worker.refresher


def test_a_job_is_a_refresh_and_its_hints_are_done(scene: Scene):
    scene.one.hints.add(7, "ANNOTATION_CREATED")
    outcome = scene.one.refresh(7, 0)
    assert outcome == {"project": 7, "outcome": "refreshed", "version": "choices-1-aaaaaaaa"}
    assert refresher(scene.one).calls == [(7, {"ANNOTATION_CREATED"})]
    assert scene.one.hints.pending() == {}
    assert scene.status().last_refresh.version == "choices-1-aaaaaaaa"
    assert not is_leased(scene.one.connection, project_lease(7))
    assert scene.one.refresh(7, 1)["outcome"] == "nothing waits"


def test_two_workers_never_have_a_project_at_the_same_time(scene: Scene):
    inside, most = 0, 0
    lock = threading.Lock()

    def during(progress: Progress) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        for step in range(20):
            progress("embed", step, 20)
        with lock:
            inside -= 1

    def work(worker: DistributedWorker) -> None:
        refresher(worker).during = during
        for generation in range(15):
            worker.hints.add(7, "poll")
            worker.refresh(7, generation)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in (scene.one, scene.other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(refresher(scene.one).calls) + len(refresher(scene.other).calls) > 1


def test_an_event_during_a_refresh_whose_job_found_it_busy_is_not_forgotten(scene: Scene):
    answers: list[dict[str, Any]] = []

    def during(progress: Progress) -> None:
        scene.other.hints.add(7, "second")
        answers.append(scene.other.refresh(7, 1))

    refresher(scene.one).during = during
    scene.one.hints.add(7, "first")
    scene.one.refresh(7, 0)
    assert answers == [{"project": 7, "outcome": "busy"}]
    assert scene.one.hints.pending()[7].reasons == {"second"}
    assert job_id(7, 2) in scene.jobs()
    scene.other.refresh(7, 2)
    assert refresher(scene.other).calls == [(7, {"second"})]


def test_a_worker_that_lost_its_lease_publishes_nothing_more(scene: Scene):
    published = []

    def during(progress: Progress) -> None:
        progress("learn", 0, 1)
        scene.one.connection.flushall()
        scene.one.hints.add(7, "still")
        wait_until_lost(progress)
        published.append("no")

    def wait_until_lost(progress: Progress) -> None:
        for _ in range(200):
            progress("publish predictions", 0, 1)
            threading.Event().wait(0.05)

    scene.settings.lease_seconds = 1
    refresher(scene.one).during = during
    scene.one.hints.add(7, "poll")
    assert scene.one.refresh(7, 0)["outcome"] == "put off"
    assert published == []
    assert scene.one.hints.pending()[7].reasons == {"still"}
    assert scene.status().last_refresh is None


def test_ending_puts_a_running_refresh_off_for_another_worker(scene: Scene):
    def during(progress: Progress) -> None:
        scene.one.stop()
        progress("embed", 1, 9)

    refresher(scene.one).during = during
    scene.one.hints.add(7, "poll")
    assert scene.one.refresh(7, 0)["outcome"] == "put off"
    assert scene.status().state == "idle"
    assert job_id(7, 1) in scene.jobs()
    assert scene.other.refresh(7, 1)["outcome"] == "refreshed"


def test_a_failure_is_told_and_left_to_rq(scene: Scene):
    refresher(scene.one).failures = [ValueError("Label Studio is away")]
    scene.one.hints.add(7, "poll")
    with pytest.raises(RefreshFailed, match="ValueError: Label Studio is away"):
        scene.one.refresh(7, 0)
    assert scene.status().state == "failed"
    assert "Label Studio is away" in scene.status().last_error.message
    assert scene.one.hints.pending()
    assert job_id(7, 1) not in scene.jobs()
    assert scene.one.refresh(7, 0)["outcome"] == "refreshed"
    assert scene.status().last_error is None


def test_a_further_try_ends_where_a_later_job_has_begun(scene: Scene):
    scene.one.hints.add(7, "poll")
    refresher(scene.one).failures = [ValueError("away")] * 2
    for generation in (0, 1):
        with pytest.raises(RefreshFailed, match="away"):
            scene.one.refresh(7, generation)
        scene.one.hints.add(7, "poll")
    assert scene.one.refresh(7, 0)["outcome"] == "superseded"
    assert scene.one.refresh(7, 1)["outcome"] == "refreshed", "the later one goes on trying"


def test_a_folder_held_without_a_lease_is_tried_again(scene: Scene):
    scene.one.hints.add(7, "poll")
    with project_lock(scene.settings.project_dir(7)):
        assert scene.one.refresh(7, 0)["outcome"] == "busy"
    assert refresher(scene.one).calls == []
    assert job_id(7, 1) in scene.jobs()


def test_what_a_worker_remembers_is_stale_after_another_one_s_turn(scene: Scene):
    for worker, generation in ((scene.one, 0), (scene.one, 1), (scene.other, 2), (scene.one, 3)):
        scene.one.hints.add(7, "poll")
        worker.refresh(7, generation)
    assert refresher(scene.one).forgotten == [7, 7]
    assert refresher(scene.other).forgotten == [7]


def test_idle_work_is_the_last_worker_s(scene: Scene):
    refresher(scene.one).idle_left = 2
    refresher(scene.other).idle_left = 1
    scene.one.hints.add(7, "poll")
    scene.one.refresh(7, 0)
    scene.other.idle()
    for _ in range(4):
        scene.one.idle()
    assert refresher(scene.one).idle_calls == [7, 7]
    assert refresher(scene.other).idle_calls == []
    scene.one.hints.add(7, "poll")
    scene.one.refresh(7, 1)
    scene.one.hints.add(7, "poll")
    scene.other.refresh(7, 2)
    scene.one.idle()
    assert refresher(scene.one).idle_calls == [7, 7]
    scene.other.idle()
    assert refresher(scene.other).idle_calls == [7]


def test_idle_work_outlasts_another_worker_s_look_that_finds_nothing(scene: Scene):
    refresher(scene.one).idle_left = 1
    refresher(scene.other).changed = False
    scene.one.hints.add(7, "ANNOTATION_CREATED")
    scene.one.refresh(7, 0)
    scene.other.hints.add(7, "poll")
    assert scene.other.refresh(7, 1)["outcome"] == "refreshed"
    scene.other.idle()
    page = scene.one.book.page(7)
    assert (page.worker, page.idle) == (scene.one.name, True)
    scene.one.idle()
    assert refresher(scene.one).idle_calls == [7]
    assert scene.one.book.page(7).idle is False


def test_idle_work_is_stale_once_another_worker_s_refresh_has_begun_and_failed(scene: Scene):
    refresher(scene.one).idle_left = 1
    scene.one.hints.add(7, "poll")
    scene.one.refresh(7, 0)
    refresher(scene.other).failures = [ValueError("away")]
    scene.other.hints.add(7, "poll")
    with pytest.raises(RefreshFailed):
        scene.other.refresh(7, 1)
    scene.one.hints.done(7, scene.one.hints.newest())
    scene.one.idle()
    assert refresher(scene.one).idle_calls == []


def test_idle_work_waits_for_hints_and_ends_with_the_next(scene: Scene):
    answers = []

    def in_idle(interrupted: Callable[[], bool]) -> None:
        answers.append(interrupted())
        scene.other.hints.add(8, "ANNOTATION_CREATED")
        answers.append(interrupted())

    refresher(scene.one).in_idle = in_idle
    scene.one.hints.add(7, "poll")
    scene.one.refresh(7, 0)
    scene.one.hints.add(7, "poll")
    scene.one.idle()
    assert answers == []
    scene.one.refresh(7, 1)
    scene.one.idle()
    assert answers == [False, True]


def test_one_caretaker_looks_around_for_all(scene: Scene):
    scene.settings.poll_interval = 0.001
    first, second = scene.caretaker(scene.one), scene.caretaker(scene.other)
    refresher(scene.one).projects = refresher(scene.other).projects = [7]
    assert first.step()
    assert not second.step()
    assert scene.one.hints.pending()[7].reasons == {"poll"}
    first.leave()
    assert second.step(), "the next one takes over"


def test_the_caretaker_brings_scheduled_jobs_to_the_queue(scene: Scene):
    scene.one.hints.add(7, "poll")
    caretaker = scene.caretaker(scene.one)
    while not queue(scene.one.connection).job_ids:
        caretaker.step()
    assert queue(scene.one.connection).job_ids == [job_id(7, 0)]


def test_a_refresh_that_died_with_its_worker_is_asked_for_again(scene: Scene, monkeypatch):
    monkeypatch.setattr("backend.jobs.distributed.caretaker.LOST_AFTER", 0.0)
    scene.one.hints.add(7, "poll")
    caretaker = scene.caretaker(scene.other)
    caretaker.step()
    assert scene.one.book.page(7).generation == 0, "its job waits"
    # the job was taken, and its worker is gone before it came to anything
    scene.one.connection.delete(queue(scene.one.connection).key)
    scene.one.connection.delete(queue(scene.one.connection).scheduled_job_registry.key)
    dead = Lease(scene.one.connection, project_lease(7), "dead", 30)
    assert dead.acquire()
    caretaker.step()
    assert scene.one.book.page(7).generation == 0, "it may still be at work"
    dead.release()
    caretaker.step()
    assert scene.one.book.page(7).generation == 1
    assert job_id(7, 1) in scene.jobs()


def test_idle_work_of_a_dead_worker_is_made_anew(scene: Scene):
    refresher(scene.other).projects = [7]
    scene.one.hints.add(7, "poll")
    scene.one.refresh(7, 0)
    scene.caretaker(scene.other).step()
    assert scene.other.hints.pending()[7].reasons == {"start"}


def in_rq(scene: Scene, jobs: int) -> None:
    """Have RQ's worker run so many jobs, in this thread."""
    ran = iter(range(jobs))
    connection = scene.redis.client()
    provide(REFRESH, scene.one.refresh)
    worker = InProcessWorker(["refresh"], "tests", connection, lambda: None, lambda: next(ran, None) is None)
    worker.work(logging_level="WARNING")


def test_rq_runs_it_keeps_the_result_as_json_and_tries_a_failure_again(scene: Scene):
    scene.one.hints.add(7, "poll")
    waiting = queue(scene.one.connection)
    first = waiting.fetch_job(job_id(7, 0))
    waiting.enqueue_job(first)
    refresher(scene.one).failures = [ValueError("away")]
    in_rq(scene, 1)
    first.refresh()
    assert first.get_status().value == "scheduled"
    assert job_id(7, 0) in scene.jobs()
    waiting.enqueue_job(first)
    in_rq(scene, 1)
    done = LineupJob.fetch(first.id, scene.one.connection, SERIALIZER)
    assert done.return_value()["outcome"] == "refreshed"
    assert 0 < scene.one.connection.ttl(done.key) <= 3600


def test_a_job_that_takes_too_long_is_broken_off(scene: Scene):
    def during(progress: Progress) -> None:
        threading.Event().wait(60)

    scene.settings.job_timeout = 1
    scene.one.hints.add(7, "poll")
    waiting = queue(scene.one.connection)
    waiting.enqueue_job(waiting.fetch_job(job_id(7, 0)))
    refresher(scene.one).during = during
    in_rq(scene, 1)
    assert "JobTimeoutException" in scene.status().last_error.message
    assert scene.one.hints.pending()


def test_nobody_runs_their_own_code_through_redis(scene: Scene, tmp_path):
    mark = tmp_path / "mark"
    foreign = Queue("lineup-refresh", connection=scene.one.connection, serializer=SERIALIZER)
    job = foreign.enqueue(
        "pathlib.Path.touch", str(mark), on_failure="os.abort", on_success="os.abort", result_ttl=60
    )
    in_rq(scene, 1)
    assert not mark.exists()
    stored = Job.fetch(job.id, scene.one.connection, SERIALIZER)
    assert stored.get_status().value == "failed"
    assert ForeignJob.__name__ in stored.latest_result().exc_string


def test_a_foreign_job_is_named_in_the_log(scene: Scene, caplog: pytest.LogCaptureFixture):
    foreign = Queue("lineup-refresh", connection=scene.one.connection, serializer=SERIALIZER)
    job = foreign.enqueue("os.abort")
    in_rq(scene, 1)
    assert [record.levelname for record in caplog.records if job.id in record.message] == ["ERROR"]
    assert "not one of Lineup's" in caplog.text


def test_a_folder_that_cannot_be_used_is_a_failure_like_any_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
):
    scene.settings.model_dir.mkdir(parents=True, exist_ok=True)
    (scene.settings.model_dir / "projects").write_text("in the way")
    scene.one.hints.add(7, "poll")
    with pytest.raises(RefreshFailed, match=r"Not a directory|File exists"):
        scene.one.refresh(7, 0)
    assert "project 7: refresh failed" in caplog.text
    assert job_id(7, 1) not in scene.jobs(), "RQ's own tries wait longer each time"
    assert scene.one.book.page(7).not_before > 0
    assert not is_leased(scene.one.connection, project_lease(7))


def test_a_strange_job_id_is_no_waiting_project(scene: Scene):
    scene.one.hints.add(7, "poll")
    registry = queue(scene.one.connection).scheduled_job_registry
    scene.one.connection.zadd(registry.key, {"refresh-x": 1, "refresh-8-y": 2, "else-9-1": 3})
    assert waiting_projects(scene.one.connection) == {7}


def test_redis_gives_a_worker_no_commands(scene: Scene):
    ran = iter(range(2))
    connection = scene.redis.client()
    told: list[int] = []

    def between() -> None:
        told.append(connection.publish(f"rq:pubsub:{scene.one.name}", '{"command": "shutdown"}'))

    worker = InProcessWorker(
        ["refresh"], scene.one.name, connection, between, lambda: next(ran, None) is None
    )
    worker.work(logging_level="WARNING")
    assert told == [0, 0], "nobody listens"


def test_a_job_s_project_is_no_path(scene: Scene):
    with pytest.raises(ValueError, match="invalid literal"):
        scene.one.refresh("../../elsewhere", 0)
    assert not (scene.settings.model_dir.parent / "elsewhere").exists()


def test_stopping_is_told_to_the_refresh(scene: Scene):
    scene.one.stop()
    lease = Lease(scene.one.connection, project_lease(7), "a", 30)
    lease.acquire()
    with pytest.raises(Stopped):
        scene.one._check(lease)
