"""`lineup audit --train` and `--config` as they are typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ml.training.example_config import example_config
from tests.backend.cli.typed import lineup
from tests.ml.audit.planted import make_digits
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]

# as label-audit services write it
SERVICE = """\
do_visualize: true
num_images_to_vis: 3
Model:
  class_name: test_resnet
  num_classes: 10
  weights: scratch
Training:
  epochs: 6
  batch_size: 32
  num_workers: 0
  patience: 2
  warmup: 0.5
  lr: 3.0e-3
  min_lr: 1e-5
  factor: 0.5
  weighted_sampler: false
Dataset:
  num_folds: 3
  dataset_path: set/labels.jsonl
  names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
  transform:
    resize: 32
    rotation: 8
"""


@pytest.fixture
def quick(tmp_path: Path) -> list[object]:
    return ["--backbone", "pixels", "--cache", tmp_path / "cache", "--map", "pca"]


def test_the_file_of_a_service_is_all_it_takes(tmp_path: Path, quick: list[object]) -> None:
    source = make_digits(tmp_path / "set", 400, 0.1)
    (tmp_path / "config.yaml").write_text(SERVICE)
    # such a file knows nothing of repeats: 400 images would be judged three times
    once = ("--set", "Dataset.num_repeats=1")
    code, said = lineup("audit", "--config", tmp_path / "config.yaml", "--truth", "truth", *once, *quick)
    assert code == 0, said
    assert "known to be wrong │ 40 of 400" in said
    precision = re.search(r"average precision │ (0\.\d+)", said)
    # by chance it is 0.1
    assert precision is not None
    assert float(precision[1]) > 0.6
    folder = source.parent / "labels-audit"
    assert len(list((folder / "suspects").iterdir())) == 3
    assert "3 networks (test_resnet)" in (folder / "report.html").read_text()
    rows = (source.parent / "corrected_labels.jsonl").read_text().splitlines()
    assert {json.loads(row)["status"] for row in rows} <= {"kept", "corrected", "suspect"}


def test_the_example_works_as_it_is(tmp_path: Path, quick: list[object]) -> None:
    source = make_digits(tmp_path / "set", 60, 0.1)
    (tmp_path / "example.yaml").write_text(example_config())
    # weights are not downloaded in a test, and a small network is trained for a moment
    small = ("Model.class_name=test_resnet", "Model.weights=scratch", "Training.epochs=1",
             "Dataset.transform.resize=32", "Dataset.num_folds=2", "Dataset.num_repeats=1",
             "Training.num_workers=0")  # fmt: skip
    options = [part for one in small for part in ("--set", one)]
    code, said = lineup("audit", source, "-c", tmp_path / "example.yaml", *options, *quick)
    assert code == 0, said
    # do_visualize is false there
    assert not (source.parent / "labels-audit" / "suspects").exists()


def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, quick: list[object]) -> None:
    source = make_digits(tmp_path / "set", 20, 0.0)
    path = tmp_path / "config.yaml"
    for wrong, said_of_it in (
        (SERVICE.replace("patience:", "patiense:"), "line 11: there is no key Training.patiense"),
        (
            SERVICE.replace("epochs: 6", "epochs: six"),
            "line 8: Training.epochs: Input should be a valid integer",
        ),
        (SERVICE.replace(', "9"]', "]"), "Dataset.names has 9 classes, Model.num_classes is 10"),
        (SERVICE.replace("labels.jsonl", "gone.jsonl"), "there is no file or folder"),
    ):
        path.write_text(wrong)
        code, said = lineup("audit", "--config", path, *quick)
        assert code == 1
        assert said_of_it in said
    path.write_text(SERVICE.replace('["0", "1",', '["0", "one",'))
    code, said = lineup("audit", "--config", path, *quick)
    assert code == 1
    assert "classes that Dataset.names has not: 1" in said
    code, said = lineup("audit", source, "--set", "Training.epochs=1", *quick)
    assert code == 2
    assert "--train" in said
    assert lineup("audit", *quick)[0] == 2
    assert lineup("audit", "--train", *quick)[0] == 2
    assert not (source.parent / "labels-audit").exists()
