"""A network that was trained on masks draws those of a project, if it is the better one."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from backend.backbones import NETWORK
from backend.labelstudio.segmentation import is_suspect
from backend.predict import Predictor
from backend.project import open_backbones
from backend.refresh import Refresher
from backend.registry import Version
from backend.segmentation import network
from backend.segmentation.course import SegmentationCourse
from backend.segmentation.network import Drawn, DrawnMasks
from backend.settings import get_settings
from ml.mask_sets import read_masks
from ml.masks.png import write_png
from ml.segmentation.unet.fit import train_unet
from ml.segmentation.unet.model import UNetModel
from ml.segmentation.unet.run import ReadHow
from tests.backend.cli.typed import lineup
from tests.backend.segmentation.shapes import CLASSES, LABELS, SIDE, ShapesBench, dice, picture, scene, uri
from tests.backend.segmentation.shapes import config as label_config
from tests.ml.segmentation.unet.conftest import one_thread
from tests.ml.segmentation.unet.shapes import config

__all__ = ["one_thread"]

Make = Callable[..., ShapesBench]
# of the project's tasks, what the network is trained on
TRAINED = range(5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a network on the first scenes and on some the project does not have."""
    folder = tmp_path_factory.mktemp("network")
    for part, numbers in {"train": [*TRAINED, *range(100, 119)], "val": range(200, 206)}.items():
        for place in ("img", "labels"):
            (folder / "set" / place / part).mkdir(parents=True)
        for number in numbers:
            file = io.BytesIO()
            picture(number).save(file, "PNG")
            (folder / "set" / "img" / part / f"{number}.png").write_bytes(file.getvalue())
            (folder / "set" / "labels" / part / f"{number}.png").write_bytes(write_png(scene(number)))
    (folder / "set" / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    found = read_masks(folder / "set")
    how = ReadHow(folder / "set")
    return train_unet(config(**{"Training.epochs": 20}), found, how=how, runs=folder / "runs").path


@pytest.fixture
def bench(shapes: Make, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShapesBench]:
    """A project that has been refreshed, and the settings of it for commands."""
    b = shapes()
    b.refresh("connect")
    given = {
        "MODEL_DIR": b.settings.model_dir,
        "EMBEDDER": "pixels",
        "LABEL_STUDIO_URL": b.server.url,
        "LABEL_STUDIO_API_KEY": b.server.token,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))
    get_settings.cache_clear()
    yield b
    get_settings.cache_clear()


def test_the_published_network_draws_and_the_probe_goes_on_judging(bench: ShapesBench, run: Path) -> None:
    b, model = bench, UNetModel.load(run)
    for place in ("img", "labels"):  # what was trained on may be gone
        (run.parent.parent / "set" / place / "train" / "110.png").unlink(missing_ok=True)
    code, said = lineup("segment", "publish", run, "--project", b.project, "--force")
    assert code == 0, said
    assert re.search(r"mean Dice of 5 images .* network 0\.\d+, probe 0\.\d+", said), said
    backbones = open_backbones(b.settings, b.project)
    name = backbones.published()
    assert name is not None
    manifest = backbones.load(name).manifest
    assert manifest["compared_on"] == 5
    assert len(manifest["trained_on"]) == 24
    assert manifest["dice"] > 0.5

    result = b.refresh("poll")
    assert result.learned
    assert result.version.startswith("segmentation-2-")
    assert b.state().registry.manifest(result.version)["backbone"] == name
    b.idle()
    theirs = model.mask(picture(13), (SIDE, SIDE))
    assert np.array_equal(b.mask(b.predicted(13)), theirs)
    assert DrawnMasks(b.state().folder, name).has(b.state().store.contents()[uri(picture(13))].key or "")
    labelled = [region for region in b.predicted(2) if not is_suspect(region)]
    assert dice(b.mask(labelled), scene(2)) > 0.8, "predicted by those that have not seen it"

    b.refresher = Refresher(b.settings)
    assert not b.refresh("full").learned
    predictor = Predictor(b.settings, lambda *_: None)
    try:
        known = {"id": b.tasks[11], "data": b.task(11)["data"]}
        new = {"id": 10**6, "data": {"image": uri(picture(501))}}
        answers = predictor.predict(b.project, [known, new], b.label_config)
    finally:
        predictor.close()
    assert np.array_equal(b.mask(answers[0]["result"]), model.mask(picture(11), (SIDE, SIDE)))
    assert np.array_equal(b.mask(answers[1]["result"]), model.mask(picture(501), (SIDE, SIDE)))

    code, said = lineup("train", "--project", b.project, "--drop")
    assert code == 0, said
    last = b.refresh("poll")
    assert last.learned
    assert b.state().registry.manifest(last.version)["backbone"] is None
    b.idle()
    assert dice(b.mask(b.predicted(13)), scene(13)) > 0.8


def test_the_masks_of_the_network_that_is_served_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    course = SegmentationCourse("segmentation", get_settings())
    drawn = Drawn(scene(1), np.ones(3, dtype=np.float32))
    old, new = (DrawnMasks(tmp_path, name) for name in ("tuned-old", "tuned-new"))
    for masks in (old, new):
        masks.put("0a" * 16, drawn)
    course.tidy(tmp_path, Version("segmentation-1-0", {"backbone": "tuned-old"}, {}))
    assert old.has("0a" * 16)
    assert not new.folder.exists()
    with monkeypatch.context() as patched:
        patched.setattr(network.shutil, "rmtree", Mock(side_effect=OSError("not empty")))
        course.tidy(tmp_path, None)
    assert "not empty" in caplog.text
    course.tidy(tmp_path, Version("segmentation-2-0", {"backbone": None}, {}))
    assert not old.folder.exists()


def test_a_network_of_other_classes_is_left_alone(
    shapes: Make, run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    b = shapes()
    backbones = open_backbones(b.settings, b.project)
    name = backbones.save(run / "model.safetensors", {NETWORK: "unet", "classes": list(CLASSES)})
    backbones.publish(name)
    course = SegmentationCourse("segmentation", b.settings)
    assert course.backbone(b.project, name, b.kind) == name
    for labels in ('<Label value="square"/><Label value="disc"/>', LABELS + '<Label value="third"/>'):
        b.label_config = label_config(labels=labels)
        caplog.clear()
        assert course.backbone(b.project, name, b.kind) is None
        assert "--drop" in caplog.text
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": b.label_config})
    result = b.refresh("connect")
    assert b.state().registry.manifest(result.version)["backbone"] is None
    b.idle()
    assert dice(b.mask(b.predicted(13)), scene(13)) > 0.8


def test_the_worse_one_is_not_published_and_other_classes_are_refused(
    bench: ShapesBench, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = bench
    real = UNetModel.probabilities
    monkeypatch.setattr(UNetModel, "probabilities", lambda *given: real(*given)[[1, 2, 0]])
    code, said = lineup("segment", "publish", run, "--project", b.project)
    assert code == 0, said
    assert "The probe goes on" in said
    assert open_backbones(b.settings, b.project).published() is None
    label_config = b.label_config.replace('value="square"', 'value="box"')
    b.server.api("PATCH", f"/api/projects/{b.project}/", {"label_config": label_config})
    b.refresh()
    code, said = lineup("segment", "publish", run, "--project", b.project)
    assert code == 1
    assert "background, disc, box" in " ".join(said.split())
