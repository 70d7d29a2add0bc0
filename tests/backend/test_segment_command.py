"""`lineup segment train`, `eval` and `predict` as they are typed, from masks to masks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.settings import get_settings
from ml.mask_sets import read_masks, write_masks
from ml.masks.png import read_png
from tests.backend.cli.typed import lineup
from tests.ml.segmentation.unet.shapes import NAMES, SMALL, shapes
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]

SETTINGS = [
    part
    for key, value in (SMALL | {"Training.epochs": 25, "Dataset.transform.scale": [0.8, 1.25]}).items()
    for part in ("--set", f"{key}={json.dumps(value)}")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs and boxes."""
    return shapes(tmp_path_factory.mktemp("segment") / "set")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A network of them."""
    runs = folder.parent / "runs"
    code, said = lineup("segment", "train", folder, "--out", runs, *SETTINGS)
    assert code == 0, said
    assert "epoch 25: loss" in said
    (found,) = runs.iterdir()
    assert f"run: {found}" in said
    assert f"Network: {found / 'model.safetensors'}" in said
    return found


def test_a_network_is_judged_by_class_and_image(folder: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "tested"
    code, said = lineup("segment", "eval", run, folder, "--part", "test", "--out", out, "--pictures", 2)
    assert code == 0, said
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["mean_dice"] > 0.8
    assert figures["images"] == 4
    assert f"mean Dice {figures['mean_dice']:.4f}" in said
    assert list(figures["classes"]) == list(NAMES)
    with (out / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"test/{number:02}.png" for number in range(4)]
    mean = np.mean([float(row["mean_dice"]) for row in rows])
    assert figures["image_dice"] == pytest.approx(mean, abs=1e-4)
    for row in rows:
        by_class = [float(row[f"dice {name}"]) for name in NAMES]
        assert float(row["mean_dice"]) == pytest.approx(np.mean(by_class), abs=1e-4)
    with (out / "per_class.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == list(NAMES)
    assert sorted(path.name for path in out.glob("[!.]*")) == [
        "best.png", "curves.png", "metrics.json", "per_class.csv", "per_image.csv", "pictures", "worst.png",
    ]  # fmt: skip
    assert Image.open(out / "best.png").width > 3 * 256
    assert len(list((out / "pictures").iterdir())) == 2
    code, said = lineup("segment", "eval", run, folder, "--out", out)
    assert (code, "--force" in said) == (1, True)
    code, said = lineup("segment", "eval", run, folder, "--part", "other", "--out", tmp_path / "no")
    assert code == 1
    assert "has no part 'other'; there are test, train, val" in said
    code, said = lineup("segment", "eval", folder, folder, "--out", tmp_path / "no")
    assert (code, "there is no checkpoint" in said) == (1, True)
    assert not (tmp_path / "no").exists()


def test_a_set_in_another_format_is_numbered_as_the_network_has_it(
    folder: Path, run: Path, tmp_path: Path
) -> None:
    found = read_masks(folder)
    write_masks(found, tmp_path / "coco.json", format="coco")
    code, said = lineup(
        "segment", "eval", run, tmp_path / "coco.json", "--part", "test", "--out", tmp_path / "a"
    )
    assert code == 0, said
    lineup("segment", "eval", run, folder, "--part", "test", "--out", tmp_path / "b")
    texts = [(tmp_path / name / "metrics.json").read_text() for name in "ab"]
    assert texts[0] == texts[1]


def test_masks_are_drawn_of_any_images(folder: Path, run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for number, size in enumerate([(64, 48), (640, 480), (33, 50)]):
        image = Image.open(folder / "img" / "test" / f"{number:02}.png").resize(size)
        image.save(photos / ("deep" if number else "") / f"{number}.jpg", quality=95)
    turned = Image.open(photos / "0.jpg").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(photos / "turned.jpg", exif=exif, quality=95)
    out = tmp_path / "drawn"
    code, said = lineup("segment", "predict", run, photos, "--out", out, "--overlays")
    assert code == 0, said
    assert "Wrote 4 masks" in said
    assert (out / "classes.txt").read_text().split() == list(NAMES)
    sizes = {
        path.relative_to(out / "masks").as_posix(): Image.open(path).size
        for path in (out / "masks").rglob("*.png")
    }
    assert sizes == {
        "0.png": (64, 48), "deep/1.png": (640, 480), "deep/2.png": (33, 50), "turned.png": (64, 48),
    }  # fmt: skip
    mask = read_png((out / "masks" / "0.png").read_bytes())
    label = read_png((folder / "labels" / "test" / "00.png").read_bytes())
    assert (mask == label).mean() > 0.9
    # shown upright, it is the same picture
    assert (read_png((out / "masks" / "turned.png").read_bytes()) == mask).mean() > 0.9
    assert len(list((out / "overlays").rglob("*.jpg"))) == 4
    # what was written is a set of masks
    code, said = lineup("check", out, "--from", "masks", "--images", photos, "--backbone", "none")
    assert "Nothing is wrong." in said
    assert code == 0, said


def test_masks_are_drawn_of_a_part_and_of_one_image(folder: Path, run: Path, tmp_path: Path) -> None:
    code, said = lineup("segment", "predict", run, folder, "--part", "val", "--out", tmp_path / "val")
    assert code == 0, said
    assert len(list((tmp_path / "val" / "masks" / "val").iterdir())) == 6
    photo = folder / "img" / "test" / "01.png"
    code, said = lineup("segment", "predict", run / "model.safetensors", photo, "--out", tmp_path / "one")
    assert (code, "Wrote 1 masks" in said) == (0, True)
    broken = tmp_path / "photos"
    broken.mkdir()
    (broken / "a.png").write_bytes(photo.read_bytes())
    (broken / "b.png").write_bytes(photo.read_bytes()[:200])
    code, said = lineup("segment", "predict", run, broken, "--out", tmp_path / "no")
    assert code == 1
    assert "b.png: the image cannot be decoded" in said
    assert not (tmp_path / "no").exists()
    code, said = lineup("segment", "predict", run, broken, "--out", tmp_path / "some", "--skip-problems")
    assert code == 0
    assert "left out (1)" in said
    code, said = lineup("segment", "predict", run, broken, "--part", "val", "--out", tmp_path / "no")
    assert (code, "has no parts: leave out --part" in said) == (1, True)


def test_the_configuration_is_found_checked_and_printed(folder: Path, run: Path, tmp_path: Path) -> None:
    code, _ = lineup("config", "--segment", "--example")
    assert code == 0
    code, said = lineup(
        "segment", "train", folder, "--epochs", 3, "--set", "Training.dice=2", "--print-config"
    )
    assert code == 0
    assert "epochs: 3" in said
    assert "dice: 2.0" in said
    (tmp_path / "unet.yaml").write_text("Model: {class_name: resnet18}\nTraining:\n  class_weight: 1\n")
    code, said = lineup("config", "--segment", tmp_path / "unet.yaml")
    assert code == 1
    assert "line 3: there is no key Training.class_weight: did you mean class_weights?" in said
    code, said = lineup("config", "--segment", run / "config.yaml")
    assert code == 0, said
    assert "is well: test_resnet, 25 epochs" in said


def test_wrong_use_is_named(folder: Path, run: Path, tmp_path: Path) -> None:
    code, said = lineup("segment", "train", "--out", tmp_path / "runs")
    assert (code, "give a DATASET" in said) == (2, True)
    code, said = lineup("segment", "train", folder, "--resume", run)
    assert (code, "--resume RUN alone" in said) == (2, True)
    code, said = lineup("segment", "train", run)
    assert (code, f"lineup segment train --resume {run}" in said) == (2, True)
    code, said = lineup("segment", "train", "--resume", run)
    assert (code, "has ended: its network is" in said) == (1, True)
    broken = shapes(tmp_path / "broken", {"train": 3, "val": 1})
    (broken / "labels" / "train" / "01.png").write_bytes(b"nothing")
    code, said = lineup("segment", "train", broken, "--out", tmp_path / "runs", *SETTINGS)
    assert code == 1
    assert "labels/train/01.png: the mask is no PNG" in said
    code, said = lineup(
        "segment", "train", broken, "--out", tmp_path / "runs", *SETTINGS, "--epochs", 1,
        "--set", "Training.epochs=1", "--skip-problems",
    )  # fmt: skip
    assert code == 0, said
    assert "left out (1)" in said


def test_a_project_is_learned_from(
    folder: Path, run: Path, tmp_path: Path, label_studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    code, said = lineup("convert", folder, "project:new", "--project-title", "Shapes")
    assert code == 0, said
    source = f"project:{made_project(said)}"
    cache = ("--cache", tmp_path / "cache")
    # as if it had been stopped before its first step
    monkeypatch.setattr("ml.segmentation.unet.trainer.UNetTrainer.fit", broken_off)
    code, said = lineup(
        "segment",
        "train",
        source,
        "--out",
        tmp_path / "runs",
        *SETTINGS,
        *cache,
        "--set",
        "Training.epochs=1",
    )
    assert code == 1
    monkeypatch.undo()
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    (stopped,) = (tmp_path / "runs").iterdir()
    code, said = lineup("segment", "train", "--resume", stopped, *cache)
    assert code == 0, said
    about = json.loads((stopped / "dataset.json").read_text())
    assert about["source"] == source
    assert (len(about["train"]), len(about["valid"])) == (16, 6)
    assert set(about["options"]["classes"]) == set(NAMES)
    code, said = lineup(
        "segment", "eval", run, source, "--part", "test", "--out", tmp_path / "tested", *cache
    )
    assert code == 0, said
    lineup("segment", "eval", run, folder, "--part", "test", "--out", tmp_path / "own")
    texts = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("tested", "own")]
    assert texts[0] == texts[1]
    code, said = lineup(
        "segment", "predict", run, source, "--part", "val", "--out", tmp_path / "drawn", *cache
    )
    assert code == 0, said
    drawn = sorted(path.name for path in (tmp_path / "drawn" / "masks").rglob("*.png"))
    assert drawn == [f"{number:02}.png" for number in range(6)]
    get_settings.cache_clear()


def broken_off(self: Any) -> None:
    raise ValueError("stopped")


def made_project(said: str) -> int:
    return int(said.split("Project ")[1].split(maxsplit=1)[0])
