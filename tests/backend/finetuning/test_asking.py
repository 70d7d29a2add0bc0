"""When a training is asked for, and that it is asked for once."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rq.timeouts import JobTimeoutException

from backend.finetuning.due import ask_if_due
from backend.finetuning.record import TrainingRecord, ask_training, read_training, tell_training
from backend.jobs.distributed.jobs import queue
from backend.jobs.distributed.lease import Lease
from backend.jobs.distributed.link import link
from backend.jobs.distributed.trainings import QueuedTrainings, training_lease, training_workers
from backend.jobs.locks import training_lock
from backend.jobs.trainings import ChildTrainings
from backend.settings import Settings
from tests.backend.finetuning.scene import LABEL_CONFIG
from tests.backend.trained import make_project, make_settings
from tests.redis_server import RedisServer


@pytest.mark.parametrize(
    ("before", "labels", "due"),
    [(0, 199, False), (0, 200, True), (150, 299, False), (150, 300, True), (1000, 1999, False)],
)
def test_labels_must_have_doubled(before: int, labels: int, due: bool) -> None:
    assert TrainingRecord("kept", labels=before).due(labels) is due
    assert not TrainingRecord("waiting", labels=before).due(labels)
    assert TrainingRecord("failed", labels=before).due(labels) is due


def test_only_where_it_is_switched_on_and_for_one_class_an_image(tmp_path: Path) -> None:
    off, auto = make_settings(tmp_path), make_settings(tmp_path, finetune="auto")
    make_project(auto, 7)
    assert not ask_if_due(off, 7, 500)
    assert ask_if_due(auto, 7, 500)
    assert not ask_if_due(auto, 7, 500), "it is asked for already"
    record = read_training(auto, 7)
    assert (record.state, record.labels) == ("waiting", 500)
    tell_training(auto, 7, replace(record, state="failed"))
    assert not ask_if_due(auto, 7, 600), (
        "what fails before it has counted the labels is not asked for each time"
    )
    make_project(auto, 8, LABEL_CONFIG.replace('name="order"', 'name="order" choice="multiple"'))
    assert not ask_if_due(auto, 8, 500)


def test_asking_again_goes_on_unless_for_something_else(settings: Settings) -> None:
    config = {"Training": {"epochs": 3}}
    first = ask_training(settings, 7, config)
    tell_training(
        settings, 7, replace(first, state="running", attempts=2, labels=120, backbone="tuned-000000000000")
    )
    again = ask_training(settings, 7, config)
    assert (again.state, again.attempts, again.backbone) == ("waiting", 0, "tuned-000000000000")
    tell_training(settings, 7, again.postponed(0, "away"))
    assert ask_training(settings, 7, config).ready
    tell_training(settings, 7, replace(again, state="stopped", finished_at=1.0))
    on = ask_training(settings, 7, config)
    assert (on.state, on.asked_at, on.finished_at) == ("waiting", first.asked_at, None)
    other = ask_training(settings, 7, config, force=True)
    assert other.asked_at != first.asked_at
    assert (other.backbone, other.labels, other.force) == (None, 120, True)


def test_a_record_of_another_release_is_read(settings: Settings) -> None:
    path = settings.project_dir(7) / "training.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"state": "kept", "labels": 9, "of_tomorrow": 1}', encoding="utf-8")
    assert read_training(settings, 7) == TrainingRecord("kept", labels=9)
    path.write_text('{"state": "ke', encoding="utf-8")
    assert read_training(settings, 7) == TrainingRecord()


def test_the_child_is_one_at_a_time_and_not_for_what_a_person_does(
    settings: Settings, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    script = f"import sys, time; open({str(told)!r}, 'a').write(sys.argv[2] + ' '); time.sleep(60)"
    trainings = ChildTrainings(settings, lambda: [7, 8], (sys.executable, "-c", script))
    for project in (7, 8):
        ask_training(settings, project, {})
    with training_lock(settings.project_dir(7)) as held:
        assert held
        for _ in range(2):
            trainings._next = 0.0
            trainings.step()
    deadline = time.monotonic() + 30
    while not told.exists() or not told.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert told.read_text() == "8 ", "7 is held by somebody, and one runs at a time"
    child = trainings._child
    assert child is not None
    trainings.stop()
    assert child.poll() is not None


def test_one_job_a_project(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = make_settings(tmp_path, redis_url=redis_server.url)
    connection = link(settings, 5.0)
    trainings = QueuedTrainings(settings, connection, "one")
    assert training_workers(connection) == 0
    assert trainings.enqueue(7)
    assert not trainings.enqueue(7)
    assert queue(connection, "train").get_job_ids() == ["train-7"]
    lease = Lease(connection, training_lease(8), "other", 30)
    assert lease.acquire()
    assert not trainings.enqueue(8), "it is being done"
    assert trainings.train(8) == {"project": 8, "outcome": "busy"}
    assert trainings.train(9) == {"project": 9, "outcome": "none"}, "nothing is asked for"
    ask_training(settings, 10, {})
    trainings.look(lambda: [9, 10])
    assert set(queue(connection, "train").get_job_ids()) == {"train-7", "train-10"}


def test_a_job_whose_time_is_up_is_put_off(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path, redis_url=redis_server.url)
    make_project(settings, 7)
    ask_training(settings, 7, {})

    def time_is_up(lease: Lease) -> None:
        raise JobTimeoutException("14400 seconds")

    monkeypatch.setattr(Lease, "check", time_is_up)
    connection = link(settings, 5.0)
    trainings = QueuedTrainings(settings, connection, "one")
    assert trainings.train(7) == {"project": 7, "outcome": "put off"}
    record = read_training(settings, 7)
    assert (record.state, record.attempts) == ("waiting", 0)
    trainings.look(lambda: [7])
    assert queue(connection, "train").get_job_ids() == [], "after a pause"
