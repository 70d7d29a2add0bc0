"""The worker's loop, with a refresher that does what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from backend.jobs.hints import HintStore
from backend.jobs.locks import project_lock
from backend.jobs.worker import MAX_BACKOFF, Worker
from backend.settings import Settings
from backend.status import read_status
from tests.backend.jobs.fakes import Refresher
from tests.backend.trained import make_settings


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Scene:
    settings: Settings
    hints: HintStore
    refresher: Refresher
    clock: Clock
    worker: Worker

    def later(self, seconds: float) -> bool:
        self.clock.now += seconds
        return self.worker.step()

    def status(self, project_id: int = 7):
        return read_status(self.settings.project_dir(project_id))


@pytest.fixture
def scene(tmp_path) -> Scene:
    settings = make_settings(tmp_path)
    refresher, clock = Refresher(), Clock()
    hints = HintStore(settings.model_dir, clock)
    return Scene(settings, hints, refresher, clock, Worker(settings, hints, refresher, clock))


def test_events_become_one_refresh_after_a_quiet_moment(scene: Scene):
    for _ in range(5):
        scene.hints.add(7, "ANNOTATION_CREATED")
    scene.later(1.0)
    assert scene.refresher.calls == []
    scene.later(1.5)
    assert scene.refresher.calls == [(7, {"ANNOTATION_CREATED"})]
    assert scene.hints.pending() == {}
    status = scene.status()
    assert (status.state, status.last_error) == ("idle", None)
    assert status.last_refresh is not None
    assert (status.last_refresh.version, status.last_refresh.labels) == ("choices-1-aaaaaaaa", 12)


def test_an_event_during_a_refresh_leads_to_another(scene: Scene):
    scene.hints.add(7, "first")
    scene.refresher.during = lambda progress: scene.hints.add(7, "second")
    scene.later(3)
    scene.refresher.during = lambda progress: None
    scene.later(3)
    assert [reasons for _, reasons in scene.refresher.calls] == [{"first"}, {"second"}]


def test_progress_is_shown_while_it_runs(scene: Scene):
    seen = []

    def during(progress: Callable[[str, int, int], None]) -> None:
        progress("embed", 3, 9)
        seen.append(scene.status())

    scene.refresher.during = during
    scene.hints.add(7, "poll")
    scene.later(3)
    assert (seen[0].state, seen[0].step, seen[0].done, seen[0].total) == ("running", "embed", 3, 9)


def test_a_failure_is_told_and_tried_again_later(scene: Scene):
    scene.refresher.failures = [ValueError("Label Studio is away")] * 2
    scene.hints.add(7, "poll")
    scene.later(3)
    assert scene.status().state == "failed"
    assert "Label Studio is away" in scene.status().last_error.message
    assert scene.hints.pending()
    scene.later(1)
    assert len(scene.refresher.calls) == 1
    scene.later(2)
    scene.later(3)
    assert len(scene.refresher.calls) == 2
    scene.later(MAX_BACKOFF)
    assert len(scene.refresher.calls) == 3
    assert scene.status().last_error is None
    assert scene.hints.pending() == {}


def test_news_after_a_failure_do_not_wait_for_the_backoff(scene: Scene):
    scene.refresher.failures = [ValueError("away")] * 5
    scene.hints.add(7, "poll")
    for _ in range(5):
        scene.later(MAX_BACKOFF)
    assert scene.status().state == "failed"
    scene.hints.add(7, "ANNOTATION_CREATED")
    scene.later(3)
    assert scene.status().state == "idle"


def test_one_project_s_failure_does_not_stop_another(scene: Scene):
    scene.refresher.failures = [ValueError("away")]
    scene.hints.add(7, "poll")
    scene.hints.add(8, "poll")
    scene.later(3)
    assert scene.status(7).state == "failed"
    assert scene.status(8).state == "idle"


def test_known_projects_are_looked_at_at_the_interval(scene: Scene):
    scene.refresher.projects = [7]
    scene.later(0)
    scene.later(scene.settings.poll_interval)
    assert scene.hints.pending()[7].reasons == {"poll"}
    scene.later(3)
    scene.later(scene.settings.poll_interval - 10)
    assert scene.hints.pending() == {}
    scene.later(10)
    assert scene.hints.pending()[7].reasons == {"poll"}


def test_a_refresh_held_by_another_process_is_not_doubled(scene: Scene):
    scene.hints.add(7, "poll")
    with project_lock(scene.settings.project_dir(7)) as held:
        assert held
        scene.later(3)
    assert scene.refresher.calls == []
    scene.later(0)
    assert len(scene.refresher.calls) == 1


def test_idle_work_follows_a_refresh_until_none_is_left(scene: Scene):
    scene.refresher.idle_left = 2
    scene.hints.add(7, "poll")
    for _ in range(6):
        scene.later(3)
    assert scene.refresher.idle_calls == [7, 7]


def test_idle_work_is_interrupted_by_a_hint(scene: Scene):
    answers = []

    def in_idle(interrupted: Callable[[], bool]) -> None:
        answers.append(interrupted())
        scene.hints.add(8, "ANNOTATION_CREATED")
        answers.append(interrupted())

    scene.refresher.in_idle = in_idle
    scene.hints.add(7, "poll")
    scene.later(3)
    scene.later(3)
    assert answers == [False, True]


def test_idle_work_does_not_begin_while_a_hint_waits_out_its_debounce(scene: Scene):
    scene.refresher.idle_left = 2
    scene.hints.add(7, "poll")
    scene.later(3)
    scene.hints.add(8, "ANNOTATION_CREATED")
    scene.later(1.5)
    assert scene.refresher.idle_calls == []
    scene.later(1)
    assert [project for project, _ in scene.refresher.calls] == [7, 8]
    scene.later(2)
    assert scene.refresher.idle_calls != []


def test_failing_idle_work_is_tried_again_later(scene: Scene):
    def fail(interrupted: Callable[[], bool]) -> None:
        raise OSError("away")

    scene.refresher.in_idle = fail
    scene.hints.add(7, "poll")
    scene.later(3)
    scene.later(1)
    assert len(scene.refresher.idle_calls) == 1
    scene.later(1)
    assert len(scene.refresher.idle_calls) == 1
    scene.later(5)
    assert len(scene.refresher.idle_calls) == 2


def test_ending_puts_a_running_refresh_off(scene: Scene):
    def during(progress: Callable[[str, int, int], None]) -> None:
        scene.worker.stop()
        progress("embed", 1, 9)

    scene.refresher.during = during
    scene.hints.add(7, "poll")
    scene.later(3)
    assert scene.hints.pending()[7].reasons == {"poll"}
    assert scene.status().state == "idle"
    assert scene.status().last_refresh is None


def test_every_known_project_is_looked_at_at_start(scene: Scene):
    scene.refresher.projects = [7, 8]
    scene.settings.debounce_quiet = 0.0
    scene.refresher.during = lambda progress: scene.worker.stop()
    scene.worker.run()
    assert scene.refresher.calls == [(7, {"start"})]
    assert scene.hints.pending()[8].reasons == {"start"}
