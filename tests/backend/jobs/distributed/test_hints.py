"""Hints in a real Redis, and the job they lead to."""

from __future__ import annotations

import json
import threading
import time
import zlib

import pytest
from redis import Redis

from backend.jobs.base import QueueUnavailable
from backend.jobs.distributed.hints import RedisHints
from backend.jobs.distributed.jobs import job_id, queue, waiting_projects
from demo.label_studio import free_port
from tests.backend.trained import make_settings
from tests.redis_server import PASSWORD, RedisServer


@pytest.fixture
def hints(tmp_path, redis_server: RedisServer) -> RedisHints:
    settings = make_settings(tmp_path, redis_url=redis_server.url, debounce_quiet=5.0, debounce_max=20.0)
    return RedisHints(settings)


def moments(hints: RedisHints) -> dict[str, float]:
    registry = hints.queue.scheduled_job_registry
    return {name.decode(): at for name, at in hints.connection.zrange(registry.key, 0, -1, withscores=True)}


def test_hints_of_a_project_are_gathered(hints: RedisHints):
    for reason in ("ANNOTATION_CREATED", "ANNOTATION_CREATED", "poll"):
        hints.add(7, reason)
    hints.add(8, "setup")
    pending = hints.pending()
    assert set(pending) == {7, 8}
    assert pending[7].count == 3
    assert pending[7].reasons == {"ANNOTATION_CREATED", "poll"}
    assert pending[7].first <= pending[7].last
    assert pending[7].upto == hints.take(7) < pending[8].upto == hints.newest()


def test_hints_given_during_a_refresh_outlive_it(hints: RedisHints):
    hints.add(7, "before")
    upto = hints.take(7)
    hints.add(7, "during")
    hints.done(7, upto)
    assert hints.pending()[7].reasons == {"during"}
    hints.done(7, hints.take(7))
    assert hints.pending() == {}


def test_the_same_reason_given_again_during_a_refresh_stays(hints: RedisHints):
    hints.add(7, "poll")
    upto = hints.take(7)
    hints.add(7, "poll")
    hints.done(7, upto)
    assert hints.pending()[7].reasons == {"poll"}


def test_ids_grow_even_after_redis_has_lost_everything(hints: RedisHints):
    hints.add(7, "a")
    before = hints.newest()
    hints.connection.flushall()
    assert (hints.newest(), hints.pending(), hints.take(7)) == (0, {}, 0)
    hints.add(7, "b")
    assert hints.newest() > before


def test_many_events_are_one_job_that_waits_for_a_quiet_moment(hints: RedisHints):
    before = time.time()
    for _ in range(200):
        hints.add(7, "ANNOTATION_CREATED")
    assert list(moments(hints)) == [job_id(7, 0)]
    assert hints.pending()[7].count == 200
    assert moments(hints)[job_id(7, 0)] >= hints.pending()[7].last + 5.0
    assert moments(hints)[job_id(7, 0)] <= before + 21.0


def test_a_stream_of_events_puts_it_off_only_so_long(tmp_path, redis_server: RedisServer):
    settings = make_settings(tmp_path, redis_url=redis_server.url, debounce_quiet=100.0, debounce_max=100.0)
    patient = RedisHints(settings)
    patient.add(7, "a")
    first = moments(patient)
    for _ in range(5):
        time.sleep(0.3)
        patient.add(7, "a")
    assert moments(patient) == first, "the moment is the oldest hint's and the longest wait"


def test_threads_and_connections_make_one_job(tmp_path, redis_server: RedisServer):
    settings = make_settings(tmp_path, redis_url=redis_server.url)

    def give() -> None:
        mine = RedisHints(settings)
        for _ in range(20):
            mine.add(7, "x")

    threads = [threading.Thread(target=give) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hints = RedisHints(settings)
    assert hints.pending()[7].count == 160
    assert list(moments(hints)) == [job_id(7, 0)]


def test_a_hint_after_the_job_began_makes_another(hints: RedisHints):
    hints.add(7, "a")
    hints.book.begin(7, 0)
    hints.add(7, "b")
    assert set(moments(hints)) == {job_id(7, 0), job_id(7, 1)}
    hints.book.begin(7, 0)  # the same job, tried again
    hints.add(7, "c")
    assert set(moments(hints)) == {job_id(7, 0), job_id(7, 1)}


def test_looking_again_needs_hints_and_does_not_hurry_a_job_that_waits(hints: RedisHints):
    hints.again(7)
    assert moments(hints) == {}
    hints.add(7, "a")
    waiting = moments(hints)
    hints.again(7)
    assert moments(hints) == waiting
    hints.book.begin(7, 0)
    hints.again(7)
    assert job_id(7, 1) in moments(hints)


def test_projects_that_have_a_job_are_known(hints: RedisHints):
    hints.add(7, "a")
    hints.add(12, "a")
    assert waiting_projects(hints.connection) == {7, 12}


def test_the_job_is_json_and_says_what_it_must(hints: RedisHints):
    hints.add(7, "a")
    raw = hints.connection.hgetall(f"rq:job:{job_id(7, 0)}")
    assert json.loads(zlib.decompress(raw[b"data"])) == ["lineup.refresh", None, [7, 0], {}]
    assert int(raw[b"timeout"]) == hints.settings.job_timeout
    assert int(raw[b"result_ttl"]) > 0
    assert int(raw[b"failure_ttl"]) > 0
    assert int(raw[b"retries_left"]) > 1
    intervals = json.loads(raw[b"retry_intervals"])
    assert intervals == sorted(intervals)
    assert queue(hints.connection).job_ids == []


def test_without_redis_it_says_so_and_keeps_the_password_to_itself(tmp_path):
    settings = make_settings(tmp_path, redis_url=f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")
    hints = RedisHints(settings)
    with pytest.raises(QueueUnavailable, match="Redis cannot be used") as told:
        hints.add(7, "a")
    assert hints.problem
    assert PASSWORD not in f"{told.value} {hints.problem} {settings!r}"


def test_a_connection_outlives_a_restart(tmp_path):
    with RedisServer(tmp_path) as server:
        hints = RedisHints(make_settings(tmp_path, redis_url=server.url))
        hints.add(7, "a")
        server.stop()
        assert hints.problem
        server.start()
        assert hints.problem is None
        hints.add(7, "b")
        assert hints.pending()[7].reasons == {"a", "b"}
        assert isinstance(hints.connection, Redis)
