"""A backbone of a project's own, trained on a real Label Studio: when it is published, and what serves meanwhile."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.backbones import NETWORK
from backend.classification.judging import judge_labels
from backend.embedding import Embedded
from backend.finetuning.leftovers import FOLDER
from backend.finetuning.plan import CannotTrain
from backend.finetuning.record import ATTEMPTS, ask_training, read_training, tell_training
from backend.finetuning.run import run_training
from backend.jobs.base import QueueUnavailable, Stopped
from backend.jobs.embedded import to_environment
from backend.jobs.open import open_hints
from backend.predict import Predictor
from backend.project import open_backbones, open_registry, pin
from backend.refresh import Refresher
from backend.settings import Settings
from demo.label_studio import LabelStudioServer
from tests.backend.finetuning.scene import LABEL_CONFIG, SMALL, Scene, choice, make_scene, uri
from tests.backend.trained import make_project
from tests.ml.training.dominoes import CLASSES


@pytest.fixture
def scene(label_studio: LabelStudioServer, tmp_path: Path) -> Scene:
    found = make_scene(label_studio, tmp_path / "models")
    found.refresh("connect")
    return found


def said(predictor: Predictor, scene: Scene, numbers: range) -> list[str]:
    """What is predicted of dominoes, some of which no task has: their images are new."""
    tasks = [{"id": number, "data": {"image": uri(number)}} for number in numbers]
    found = predictor.predict(scene.project, tasks, LABEL_CONFIG)
    return [one["result"][0]["value"]["choices"][0] if one["result"] else "" for one in found]


def right(labels: list[str], numbers: range) -> float:
    return sum(label == CLASSES[number % 2] for label, number in zip(labels, numbers, strict=True)) / len(
        labels
    )


def test_a_better_backbone_is_published_and_all_follow(scene: Scene) -> None:
    before, seen = scene.served(), []
    predictor = Predictor(scene.settings, lambda *_: None)
    new = range(1000, 1040)
    try:
        assert right(said(predictor, scene, new), new) < 0.8, "pixels cannot tell dominoes apart"
        ask_training(scene.settings, scene.project, SMALL)
        record = run_training(scene.settings, scene.project, progress=lambda step, *_: seen.append(step))
        assert record.state == "published", record.message
        assert record.after["macro_f1"] > record.before["macro_f1"] + 0.15
        assert record.labels == 120
        assert {"reading", "fetching", "comparing", "embedding"} < set(seen)
        assert scene.backbone() == record.backbone
        assert "backbone" in open_hints(scene.settings).pending()[scene.project].reasons
        # until the refresh has published, the old version serves, with its own backbone
        assert scene.served() == before
        assert all(said(predictor, scene, range(1040, 1050)))
        result = scene.refresh("backbone")
        assert result.version != before
        assert result.seconds["embed"] < 5
        assert scene.manifest()["backbone"] == record.backbone
        newer = range(1050, 1090)
        assert right(said(predictor, scene, newer), newer) >= 0.9
    finally:
        predictor.close()
    assert not (scene.settings.project_dir(scene.project) / "training").exists()
    # nothing to do, and nothing is done again
    assert not scene.refresh().learned
    assert run_training(scene.settings, scene.project) == record


def test_what_is_held_out_and_what_is_suspect_is_not_trained_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_on: list[int] = []

    def judge(targets: Any, embedded: Embedded, *others: Any) -> Any:
        judged_on.append(embedded.vectors.shape[1])
        return judge_labels(targets, embedded, *others)

    monkeypatch.setattr("backend.finetuning.plan.judge_labels", judge)
    record = scene.train()
    assert record.backbone is not None
    manifest = open_backbones(scene.settings, scene.project).load(record.backbone).manifest
    assert manifest["held"] == pytest.approx(24, abs=2)
    assert len(manifest["trained_on"]) == 120 - manifest["held"] - manifest["suspects"]
    scene.refresh("backbone")
    # the same images are held out of the next one, which is compared with this one
    again = scene.train(Training={**SMALL["Training"], "seed": 3})
    assert again.state in ("kept", "published")
    assert again.before["macro_f1"] > 0.8
    # by the setting's embedder: the one that learned a wrong label would find it right
    assert judged_on == [Refresher(scene.settings).embedder.dim] * 2
    if again.backbone:
        second = open_backbones(scene.settings, scene.project).load(again.backbone).manifest
        assert second["against"] == record.backbone
        assert second["held"] == manifest["held"]


def test_what_is_not_better_is_not_published_unless_forced(scene: Scene) -> None:
    good = scene.train().backbone
    before = scene.refresh("backbone").version
    # a domino is four pixels, and nothing is learned
    hopeless: dict[str, Any] = {
        "Model": {"class_name": "test_efficientnet", "weights": "scratch"},
        "Dataset": {"transform": {"resize": 8}},
        "Training": {"epochs": 1, "lr": 1e-5},
    }
    record = scene.train(**hopeless)
    assert record.state == "kept", record.message
    assert "not better" in record.message
    assert scene.backbone() == good
    assert not scene.refresh().learned
    steps: list[str] = []
    left = scene.settings.project_dir(scene.project) / FOLDER
    assert left.exists()
    assert not list(left.glob("images*"))
    ask_training(scene.settings, scene.project, {**SMALL, **hopeless}, force=True)
    forced = run_training(scene.settings, scene.project, progress=lambda step, *_: steps.append(step))
    assert forced.state == "published"
    assert "comparing" in steps
    assert not any(step.startswith("training") for step in steps), "it has been trained"
    assert not left.exists()
    assert scene.backbone() == forced.backbone != good
    assert scene.refresh("backbone").version != before


def test_a_network_that_draws_masks_is_nothing_to_compare_with(scene: Scene, tmp_path: Path) -> None:
    file, backbones = tmp_path / "unet.safetensors", open_backbones(scene.settings, scene.project)
    file.write_bytes(b"of a time when the project had masks")
    backbones.publish(backbones.save(file, {NETWORK: "unet", "classes": ["background", "cat"]}))
    record = scene.train()
    assert record.state == "published", record.message
    assert scene.backbone() == record.backbone


def test_a_rollback_takes_the_backbone_along(scene: Scene) -> None:
    first = str(scene.served())
    own = scene.train().backbone
    second = scene.refresh("backbone").version
    # as `lineup rollback`
    registry = open_registry(scene.settings, scene.project)
    open_backbones(scene.settings, scene.project).publish(registry.manifest(first).get("backbone"))
    registry.publish(first)
    pin(scene.settings, scene.project)
    assert scene.refresh("rollback").version == first
    assert scene.refresh("poll").version == first
    open_backbones(scene.settings, scene.project).publish(registry.manifest(second)["backbone"])
    registry.publish(second)
    pin(scene.settings, scene.project)
    assert scene.refresh("rollback").version == second
    assert scene.backbone() == own
    scene.annotate(121)
    result = scene.refresh("ANNOTATION_CREATED")
    assert result.version not in (first, second)
    assert scene.manifest()["backbone"] == own


def test_a_rollback_during_a_training_stands(scene: Scene) -> None:
    assert scene.train().state == "published"

    def progress(step: str, done: int, total: int) -> None:
        if step == "embedding":
            open_backbones(scene.settings, scene.project).publish(None)

    ask_training(scene.settings, scene.project, {**SMALL, "Training": {"epochs": 1}}, force=True)
    record = run_training(scene.settings, scene.project, progress=progress)
    assert record.state == "kept"
    assert "went over to another backbone meanwhile" in record.message
    assert scene.backbone() is None


def test_labels_that_come_meanwhile_are_learned_with_the_old_backbone(scene: Scene) -> None:
    calls = []

    def progress(step: str, done: int, total: int) -> None:
        if step == "comparing" and not calls:
            scene.annotate(120)
            calls.append(scene.refresh("ANNOTATION_CREATED"))

    ask_training(scene.settings, scene.project, SMALL)
    assert run_training(scene.settings, scene.project, progress=progress).state == "published"
    assert calls[0].labels == 121
    assert calls[0].learned
    assert scene.manifest()["backbone"] is None
    assert scene.refresh("backbone").labels == 121
    assert scene.manifest()["backbone"] == scene.backbone()


def test_a_training_that_is_stopped_is_taken_up(scene: Scene) -> None:
    stop_at = {"training, epoch 4 of 10"}
    steps: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        if step in stop_at:
            raise Stopped
        steps.append(step)

    ask_training(scene.settings, scene.project, SMALL)
    with pytest.raises(Stopped):
        run_training(scene.settings, scene.project, progress=progress)
    record = read_training(scene.settings, scene.project)
    assert (record.state, record.attempts) == ("waiting", 0)
    assert scene.backbone() is None
    stop_at.clear()
    steps.clear()
    assert run_training(scene.settings, scene.project, progress=progress).state == "published"
    assert "training, epoch 2 of 10" not in steps
    assert "fetching" not in steps


@pytest.mark.parametrize(("corrected", "anew"), [(False, False), (True, True)])
def test_labels_that_were_corrected_meanwhile_are_trained_on(
    scene: Scene, corrected: bool, anew: bool
) -> None:
    steps: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        if step == "training, epoch 4 of 10" and step not in steps:
            steps.clear()
            steps.append(step)
            raise KeyboardInterrupt
        steps.append(step)

    ask_training(scene.settings, scene.project, SMALL)
    with pytest.raises(KeyboardInterrupt):
        run_training(scene.settings, scene.project, progress=progress)
    assert read_training(scene.settings, scene.project).state == "stopped"
    assert run_training(scene.settings, scene.project).state == "stopped", "it waits for the person"
    if corrected:
        task = scene.tasks[119]
        given = scene.server.api("GET", f"/api/tasks/{task}/annotations/")[0]["id"]
        scene.server.api("PATCH", f"/api/annotations/{given}/", {"result": choice(CLASSES[119 % 2])})
    else:
        scene.annotate(120)
    scene.refresh("ANNOTATION_UPDATED")
    ask_training(scene.settings, scene.project, SMALL)
    record = run_training(scene.settings, scene.project, progress=progress)
    assert record.state == "published", record.message
    assert ("training, epoch 2 of 10" in steps) is anew
    assert record.labels == 120


def test_without_redis_at_its_end_it_is_published_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(settings: Settings) -> None:
        raise QueueUnavailable("Redis cannot be used")

    monkeypatch.setattr("backend.finetuning.run.open_hints", away)
    record = scene.train()
    assert record.state == "published"
    assert scene.backbone() == record.backbone
    assert scene.refresh("poll").learned
    assert scene.manifest()["backbone"] == record.backbone


def test_killed_anywhere_it_converges(scene: Scene) -> None:
    before = scene.served()
    ask_training(scene.settings, scene.project, SMALL)
    environment = os.environ | to_environment(scene.settings)
    command = [sys.executable, "-m", "backend.finetuning", "--project", str(scene.project)]
    rng = random.Random(1)
    for _ in range(ATTEMPTS - 1):
        with subprocess.Popen([*command, "--parent", str(os.getpid())], env=environment) as process:
            deadline = time.monotonic() + 60
            while not read_training(scene.settings, scene.project).step.startswith("training"):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 3))
            process.send_signal(signal.SIGKILL)
        assert scene.served() == before
    done = subprocess.run([*command, "--parent", str(os.getpid())], env=environment, timeout=120, check=False)
    assert done.returncode == 0
    record = read_training(scene.settings, scene.project)
    assert record.state == "published", record.message
    assert scene.refresh("poll").version != before, "the hint is not needed"
    assert len(open_backbones(scene.settings, scene.project).ids()) == 1


def test_killed_after_the_switch_it_has_ended(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    ask_training(scene.settings, scene.project, SMALL)
    with monkeypatch.context() as patch:
        patch.setattr("backend.finetuning.run._Training._done", die)
        with pytest.raises(Killed):
            run_training(scene.settings, scene.project)
    own = scene.backbone()
    assert own is not None
    record = run_training(scene.settings, scene.project)
    assert (record.state, record.backbone) == ("published", own)
    assert record.after["macro_f1"] > record.before["macro_f1"]


def test_what_dies_again_and_again_is_given_up(settings: Settings) -> None:
    make_project(settings, 7)
    record = ask_training(settings, 7, SMALL)
    tell_training(settings, 7, replace(record, state="running", attempts=ATTEMPTS))
    ended = run_training(settings, 7)
    assert ended.state == "failed"
    assert "memory" in ended.message


@pytest.mark.parametrize(
    ("count", "config", "message"),
    [
        (30, {}, "has 30 labelled images of 2 classes: a training needs 50"),
        (60, {"Dataset": {"transform": {"resize": [32, 40]}}}, "must be a square"),
        (60, {"Model": {"class_name": "resnet180"}}, "timm knows no model 'resnet180'"),
    ],
)
def test_what_cannot_be_trained_says_why(
    label_studio: LabelStudioServer, tmp_path: Path, count: int, config: dict[str, Any], message: str
) -> None:
    scene = make_scene(label_studio, tmp_path / "models", count, count)
    scene.refresh("connect")
    with pytest.raises(ValueError, match=re.escape(message)):
        scene.train(**config)
    record = read_training(scene.settings, scene.project)
    assert record.state == "failed"
    assert message in record.message


def test_several_classes_an_image_are_refused(settings: Settings) -> None:
    make_project(settings, 7, LABEL_CONFIG.replace('name="order"', 'name="order" choice="multiple"'))
    ask_training(settings, 7, SMALL)
    with pytest.raises(CannotTrain, match="project 7: its images may have several classes"):
        run_training(settings, 7)
    assert read_training(settings, 7).state == "failed"
