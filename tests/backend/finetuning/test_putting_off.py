"""What passes by itself puts a training off: nothing is lost, and it does not count as a try."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backend.finetuning.leftovers import FOLDER
from backend.finetuning.plan import Plan, read_plan, write_plan
from backend.finetuning.record import (
    ATTEMPTS,
    LONGEST_PAUSE,
    PAUSE,
    TrainingRecord,
    ask_training,
    read_training,
    tell_training,
)
from backend.finetuning.run import CalledOff, run_training
from backend.jobs.trainings import REST, ChildTrainings
from backend.labelstudio.errors import LabelStudioError
from backend.settings import Settings
from backend.shared.bucket import SharedFolderError
from tests.backend.trained import make_project


class TimeUp(Exception):
    """As RQ's, after JOB_TIMEOUT."""


def run_into(settings: Settings, error: Exception, kind: type[Exception]) -> TrainingRecord:
    """Do a training that ends by an error at once; return what is told of it."""

    def progress(step: str, done: int, total: int) -> None:
        raise error

    with pytest.raises(kind):
        run_training(settings, 7, progress=progress, timeout=TimeUp)
    return read_training(settings, 7)


@pytest.fixture
def begun(settings: Settings) -> Path:
    """A training that is asked for, and what an earlier try of it has left."""
    make_project(settings, 7)
    ask_training(settings, 7, {})
    left = settings.project_dir(7) / FOLDER / "images.npy"
    left.parent.mkdir()
    left.write_bytes(b"decoded")
    return left


@pytest.mark.parametrize(
    "error",
    [
        LabelStudioError(None, "GET", "/api/tasks/1/", "cannot be reached"),
        SharedFolderError("s3://models cannot be used: 503"),
        OSError(errno.ENOSPC, "no room"),
    ],
    ids=["label studio", "object store", "disk"],
)
def test_what_passes_is_no_try_and_is_waited_for_longer_each_time(
    settings: Settings, begun: Path, error: Exception
) -> None:
    pauses = []
    for _ in range(ATTEMPTS + 4):
        record = run_into(settings, error, type(error))
        assert (record.state, record.attempts) == ("waiting", 0)
        assert not record.ready, "nobody tries it at once"
        pauses.append(record.not_before - time.time())
    assert pauses[0] == pytest.approx(PAUSE, abs=5)
    assert pauses[1] == pytest.approx(2 * PAUSE, abs=5)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE, abs=5)
    assert begun.exists()
    assert ask_training(settings, 7, {}).ready, "a person need not wait"


def test_time_that_is_up_puts_it_off(settings: Settings, begun: Path) -> None:
    record = run_into(settings, TimeUp("14400 seconds"), TimeUp)
    assert (record.state, record.attempts) == ("waiting", 0)
    assert f"JOB_TIMEOUT={settings.job_timeout}" in record.message
    assert begun.exists()


def test_whatever_else_goes_wrong_is_its_end(settings: Settings, begun: Path) -> None:
    record = run_into(settings, ValueError("no such model"), ValueError)
    assert record.state == "failed"
    assert not begun.exists()


def test_what_is_given_up_leaves_nothing(settings: Settings, begun: Path) -> None:
    tell_training(settings, 7, replace(read_training(settings, 7), state="running", attempts=ATTEMPTS))
    assert run_training(settings, 7).state == "failed"
    assert not begun.exists()


def test_a_plan_is_that_of_one_request(tmp_path: Path) -> None:
    plan = Plan({"a": 1}, 5.0, None, ["x", "y"], [1], ["/1"], ["00"], [0], [False], [True], [0], 1)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path, {"a": 1}, 5.0, None) == plan
    assert read_plan(tmp_path, {"a": 1}, 6.0, None) is None, (
        "asked for again after another machine had done it"
    )
    assert read_plan(tmp_path, {"a": 2}, 5.0, None) is None
    assert read_plan(tmp_path, {"a": 1}, 5.0, "tuned-000000000000") is None
    (tmp_path / "plan.json").write_text('{"asked": {"a": 1}}', encoding="utf-8")
    assert read_plan(tmp_path, {"a": 1}, 5.0, None) is None, "of another release"


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda settings: ask_training(settings, 7, {"Training": {"epochs": 2}}),
        lambda settings: tell_training(settings, 7, replace(read_training(settings, 7), state="dropped")),
    ],
    ids=["another is asked for", "it is called off"],
)
def test_a_word_of_a_person_is_not_written_over(
    settings: Settings, begun: Path, meanwhile: Callable[[Settings], None]
) -> None:
    told: list[TrainingRecord] = []

    def progress(step: str, done: int, total: int) -> None:
        meanwhile(settings)
        told.append(read_training(settings, 7))

    with pytest.raises(CalledOff):
        run_training(settings, 7, progress=progress)
    assert read_training(settings, 7) == told[0]


def test_progress_that_cannot_be_told_ends_nothing(
    settings: Settings, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        steps.append(step)

    def tell(settings: Settings, project_id: int, record: TrainingRecord) -> None:
        if record.step == "reading":
            raise SharedFolderError("503")
        tell_training(settings, project_id, record)

    monkeypatch.setattr("backend.finetuning.run.tell_training", tell)
    with pytest.raises(ValueError, match="labelled images"):  # what comes after it
        run_training(settings, 7, progress=progress)
    assert steps == ["reading"]


def test_a_child_that_ended_badly_is_not_started_again_at_once(settings: Settings, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"import sys; open({str(told)!r}, 'a').write('x'); sys.exit(1)"
    trainings = ChildTrainings(settings, lambda: [7], (sys.executable, "-c", script))
    ask_training(settings, 7, {})
    trainings.step()
    assert trainings._child is not None
    trainings._child.wait(30)
    trainings._next = 0.0
    for _ in range(3):
        trainings.step()
    assert trainings._child is None
    assert told.read_text() == "x"
    assert trainings._next > time.monotonic() + REST - 5


def test_one_that_waits_for_its_time_is_not_started(settings: Settings) -> None:
    trainings = ChildTrainings(settings, lambda: [7], (sys.executable, "-c", ""))
    record = ask_training(settings, 7, {})
    tell_training(settings, 7, record.postponed(0, "Label Studio is away"))
    trainings.step()
    assert trainings._child is None
