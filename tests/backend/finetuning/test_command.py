"""`lineup train --project` beside a training that runs or waits, and what it does not take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from backend.finetuning.leftovers import FOLDER
from backend.finetuning.plan import CannotTrain, require_classes
from backend.finetuning.record import TrainingRecord, ask_training, read_training, tell_training
from backend.finetuning.run import CalledOff, run_training
from backend.jobs.distributed.lease import Lease
from backend.jobs.distributed.link import link
from backend.jobs.distributed.trainings import training_lease
from backend.jobs.locks import training_lock
from backend.project import open_backbones
from backend.settings import Settings, get_settings
from tests.backend.cli.typed import lineup
from tests.backend.trained import make_project, make_settings
from tests.redis_server import RedisServer

TRAIN = ("train", "--project", 7)


def at_once(*arguments: object) -> tuple[int, str]:
    """Run a command that must not wait for anything."""
    found: list[tuple[int, str]] = []
    asker = threading.Thread(target=lambda: found.append(lineup(*arguments)), daemon=True)
    asker.start()
    asker.join(20)
    assert found, "it waits"
    return found[0]


@pytest.fixture
def project(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings as the command finds them, with a project 7."""
    given = {"MODEL_DIR": settings.model_dir, "EMBEDDER": "pixels", "LABEL_STUDIO_URL": "http://127.0.0.1:9"}
    for name, value in (given | {"LABEL_STUDIO_API_KEY": "a" * 40}).items():
        monkeypatch.setenv(name, str(value))
    make_project(settings, 7)
    get_settings.cache_clear()
    yield settings
    get_settings.cache_clear()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "runs"], "--project takes no --out"),
        (["--skip-problems"], "no --skip-problems"),
        (["--allow-noncommercial"], "set ALLOW_NONCOMMERCIAL=true"),
        (["--set", "Training.early_stop=3"], "Training.early_stop: a backbone has all its epochs"),
        (["--set", "Dataset.dataset_path=photos"], "Dataset.dataset_path: a project has its own images"),
        (["--drop", "--epochs", "3"], "--drop trains nothing"),
        (["--drop", "--set", "Training.lr=0.1"], "--drop trains nothing"),
        (["--drop", "--force"], "--drop trains nothing"),
    ],
)
def test_what_it_does_not_take_is_refused(project: Settings, options: list[str], message: str) -> None:
    code, said = lineup(*TRAIN, *options)
    assert code == 2, said
    assert message in said
    assert read_training(project, 7).state == "none"


def test_classes_that_are_not_the_projects_are_named() -> None:
    require_classes(7, ["dark", "bright"], ["bright", "dark"], 2)
    with pytest.raises(CannotTrain, match=r"project 7 has other classes than Dataset.names.*: pale"):
        require_classes(7, ["dark", "bright"], ["dark", "bright", "pale"], None)
    with pytest.raises(CannotTrain, match=r"project 7 has 2 classes, Model.num_classes is 3"):
        require_classes(7, ["dark", "bright"], None, 3)


def test_one_that_waits_is_called_off(project: Settings) -> None:
    ask_training(project, 7, {})
    left = project.project_dir(7) / FOLDER / "images.npy"
    left.parent.mkdir()
    left.write_bytes(b"decoded")
    code, said = lineup(*TRAIN, "--drop")
    assert code == 0, said
    assert "The training of project 7 is called off" in said
    record = read_training(project, 7)
    assert (record.state, record.open) == ("dropped", False)
    assert not left.exists()


def test_one_that_runs_is_called_off_before_the_published_one_goes(project: Settings) -> None:
    ended: list[BaseException] = []
    begun = threading.Event()

    def progress(step: str, done: int, total: int) -> None:
        begun.set()
        while read_training(project, 7).open:
            time.sleep(0.02)

    def work() -> None:
        with training_lock(project.project_dir(7)):
            try:
                run_training(project, 7, progress=progress)
            except CalledOff as error:
                ended.append(error)

    backbones = open_backbones(project, 7)
    backbones.root.mkdir(parents=True)
    (backbones.root / "published").write_text("tuned-000000000000", encoding="utf-8")
    ask_training(project, 7, {})
    # the backbone that is published is none, so it ends before it is read
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert begun.wait(30)
        code, said = lineup(*TRAIN, "--drop")
    finally:
        worker.join(30)
    assert code == 0, said
    assert len(ended) == 1
    assert backbones.published() is None
    assert read_training(project, 7).message == "tuned-000000000000 is no longer used"


def test_through_redis_nothing_that_is_asked_for_is_lost(
    project: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    shared = make_settings(project.model_dir.parent, redis_url=redis_server.url)
    first = ask_training(project, 7, {"Training": {"epochs": 2}})
    lease = Lease(link(shared, 5.0), training_lease(7), "other", 60)
    for state in ("waiting", "running"):
        tell_training(project, 7, replace(first, state=state))  # type: ignore[arg-type]
        code, said = at_once(*TRAIN, "--epochs", 3)
        assert code == 1, said
        assert "with another configuration" in said
        assert read_training(project, 7).asked_at == first.asked_at
        assert lease.held or lease.acquire()
    # asked for alike it is waited for, and what the worker tells is left alone
    looks = threading.Semaphore(0)

    def read(settings: Settings, project_id: int) -> TrainingRecord:
        looks.release()
        return read_training(settings, project_id)

    monkeypatch.setattr("backend.cli.train_project.read_training", read)
    waiting: list[tuple[int, str]] = []
    asker = threading.Thread(target=lambda: waiting.append(lineup(*TRAIN, "--epochs", 2)))
    asker.start()
    for _ in range(3):
        assert looks.acquire(timeout=30)
    assert read_training(project, 7) == replace(first, state="running")
    tell_training(project, 7, replace(first, state="kept", message="not better", finished_at=time.time()))
    asker.join(30)
    assert waiting[0][0] == 0
    assert "not better" in waiting[0][1]
