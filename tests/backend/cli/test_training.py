"""`lineup split`, `train`, `predict` and `config`, from photos to predictions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ml.datasets import write_dataset
from tests.backend.cli.typed import lineup
from tests.ml.training.made import coloured

SMALL = [
    "--model", "test_resnet", "--weights", "scratch", "--epochs", "5", "--seed", "1", "--set", "Training.batch_size=8",
    "--set", "Dataset.transform.resize=32", "--set", "Training.precision=fp32", "--set", "Training.lr=3e-3",
    "--set", "Dataset.transform.hflip=true", "--set", "Training.num_workers=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 45 images beside their folder."""
    folder = tmp_path_factory.mktemp("photos")
    write_dataset(coloured(folder / "images", each=15), folder / "labels.csv")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> Path:
    """A network of them."""
    code, said = lineup("split", photos / "labels.csv", photos / "parts", "--share", 0.2, "--seed", 2)
    assert code == 0, said
    assert "Wrote 36 images" in said
    code, said = lineup("train", photos / "parts", "--out", photos / "runs", *SMALL)
    assert code == 0, said
    assert "macro F1 1.0" in said
    (folder,) = (photos / "runs").iterdir()
    assert str(folder / "model.safetensors") in said
    return folder


def test_photos_are_classified_sorted_and_compared(photos: Path, run: Path, tmp_path: Path) -> None:
    code, said = lineup(
        "predict", photos / "parts" / "valid_.csv", "-m", run, "-m", run, "--tta", "--macro-f1", "--top", 2,
        "--out", tmp_path / "found.csv", "--copy-to", tmp_path / "sorted",
    )  # fmt: skip
    assert code == 0, said
    assert "Macro F1 1.0000, accuracy 1.0000 on 9 labelled images" in said
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "confidence", "label_2", "confidence_2"]
    assert len(rows) == 9
    for row in rows:
        assert (tmp_path / row["image"]).is_file()
        assert (tmp_path / "sorted" / row["label"] / Path(row["image"]).name).is_file()
        assert float(row["confidence"]) >= float(row["confidence_2"])
    code, said = lineup("predict", photos / "images", "-m", run, "--out", tmp_path / "found.csv")
    assert code == 1
    assert "--force" in said


def test_a_folder_without_labels_is_classified(photos: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "images", tmp_path / "new")
    (tmp_path / "new" / "broken.jpg").write_bytes(b"no")
    base = (
        "predict",
        tmp_path / "new",
        "--model",
        run / "model.safetensors",
        "--out",
        tmp_path / "found.csv",
    )
    code, said = lineup(*base)
    assert code == 1
    assert "1 of 46 images cannot be used" in said
    assert "broken.jpg" in said
    assert not (tmp_path / "found.csv").exists()
    code, said = lineup(*base, "--skip-problems")
    assert code == 0
    assert "Wrote 45 predictions" in said
    assert "left out" in said
    code, said = lineup(*base, "--skip-problems", "--force", "--macro-f1")
    assert code == 1
    assert "needs labels to compare with" in said


def test_networks_that_do_not_fit_are_refused(photos: Path, run: Path, tmp_path: Path) -> None:
    other = photos / "other.csv"
    examples = coloured(photos / "images", each=15)
    write_dataset([one for one in examples if one.label != "red"], other, force=True)
    code, said = lineup("train", other, "--out", tmp_path / "runs", *SMALL, "--epochs", 1)
    assert code == 0, said
    (second,) = (tmp_path / "runs").iterdir()
    out = tmp_path / "x.csv"
    code, said = lineup("predict", photos / "images", "-m", run, "-m", second, "--out", out)
    assert code == 1
    assert "an ensemble needs the same ones" in said
    code, said = lineup("predict", photos / "labels.csv", "-m", second, "--macro-f1", "--out", out)
    assert code == 1
    assert "the class 'red' is not among" in said
    code, said = lineup("predict", photos / "images", "-m", tmp_path / "gone", "--out", out)
    assert code == 1
    assert "there is no checkpoint" in said
    Image.new("RGB", (8, 8)).save(tmp_path / "model.safetensors", format="PNG")
    code, said = lineup("predict", photos / "images", "-m", tmp_path / "model.safetensors", "--out", out)
    assert code == 1
    assert "is not a safetensors file" in said
    assert not out.exists()


def test_a_run_has_its_own_configuration(photos: Path, run: Path, tmp_path: Path) -> None:
    code, said = lineup("config", run / "config.yaml")
    assert code == 0
    assert "test_resnet, 5 epochs" in said
    code, said = lineup("train", "--resume", run)
    assert code == 1
    assert "has ended" in said
    code, said = lineup("train", photos / "parts", "--resume", run)
    assert code == 2
    code, said = lineup("train", "--resume", tmp_path)
    assert code == 1
    assert "is no folder of a run" in said
    assert json.loads((run / "classes.json").read_text()) == ["blue", "green", "red"]


def test_wrong_keys_and_datasets_are_named(photos: Path, tmp_path: Path) -> None:
    code, said = lineup("config", "--example")
    assert code == 0
    assert "weighted_sampler: false # draw all classes equally often" in said
    (tmp_path / "wrong.yaml").write_text("Training:\n  epoch: 3\n")
    for arguments in (
        ("config", tmp_path / "wrong.yaml"),
        ("train", photos / "parts", "-c", tmp_path / "wrong.yaml"),
    ):
        code, said = lineup(*arguments)
        assert code == 1
        assert "wrong.yaml, line 2: there is no key Training.epoch: did you mean epochs?" in said
    assert lineup("config")[0] == lineup("train")[0] == 2
    code, said = lineup("train", photos / "parts", "--model", "resnet180")
    assert code == 1
    assert "no model 'resnet180'" in said
    (tmp_path / "empty").mkdir()
    code, said = lineup("split", tmp_path / "empty", tmp_path / "parts")
    assert code == 1
    assert "has no image" in said
    code, said = lineup("split", photos / "labels.csv", photos / "parts")
    assert code == 1
    assert "--force" in said


def test_small_classes_are_left_out_of_a_split(photos: Path, tmp_path: Path) -> None:
    text = (photos / "labels.csv").read_text() + "images/000.png,once\n"
    (photos / "more.csv").write_text(text)
    code, said = lineup("split", photos / "more.csv", tmp_path / "parts")
    assert code == 1
    assert "classes with one image cannot be on both sides of a split: once" in said
    code, said = lineup("split", photos / "more.csv", tmp_path / "parts", "--min-images", 2)
    assert code == 0
    assert "1 images are of classes with fewer than 2 images" in said
