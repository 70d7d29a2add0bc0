"""The audit by networks on folds, from images to findings, on digits with planted errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ml.audit import Findings
from ml.audit.trained import audit_by_training
from ml.datasets import Dataset, DatasetError, read_dataset
from ml.embedders.pixels import PixelsEmbedder
from ml.training.config import TrainingConfig
from ml.training.yaml_file import check_config
from tests.ml.audit.planted import make_digits
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]

SMALL: dict[str, Any] = {
    "Model": {"class_name": "test_resnet", "weights": "scratch"},
    "Training": {
        "epochs": 6, "batch_size": 32, "lr": 3e-3, "schedule": "cosine", "precision": "fp32", "num_workers": 0,
    },
    "Dataset": {"num_folds": 3, "num_repeats": 1, "transform": {"resize": 32}},
}  # fmt: skip


def config(**overrides: Any) -> TrainingConfig:
    return check_config(SMALL, {key.replace("__", "."): value for key, value in overrides.items()})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """700 digits, one label in ten wrong, the last twenty without one."""
    given = read_dataset(make_digits(tmp_path_factory.mktemp("digits"), 700, 0.1))
    bare = [replace(one, label=None) for one in given.examples[-20:]]
    return replace(given, examples=given.examples[:-20] + bare)


@pytest.fixture(scope="module")
def trained(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, list[str], Path]:
    """What was found, the steps it told of, and the cache it worked in."""
    told: list[str] = []
    done: list[tuple[int, int]] = []
    cache = tmp_path_factory.mktemp("cache")
    found = audit_by_training(
        dataset, config(), PixelsEmbedder(), cache=cache, truth="truth", step=told.append,
        progress=lambda number, total: done.append((number, total)),
    )  # fmt: skip
    assert done[-1][0] == done[-1][1]
    return found, told, cache


def wrong_of(found: Findings) -> np.ndarray:
    assert found.truth is not None
    rows = np.flatnonzero(found.labelled)
    wrong: np.ndarray = found.labels[rows] != found.truth[rows]
    return wrong


def test_planted_errors_are_found(trained: tuple[Findings, list[str], Path]) -> None:
    found, told, _ = trained
    wrong = wrong_of(found)
    assert wrong.sum() > 50
    assert average_precision_score(wrong, found.suspicion[found.labelled]) > 0.9
    assert 0.5 * wrong.sum() < found.expected_wrong < 2 * wrong.sum()
    corrected = found.with_status("corrected")
    assert found.truth is not None
    assert len(corrected) > 0.3 * wrong.sum()
    assert (found.suggestion[corrected] == found.truth[corrected]).mean() > 0.9
    assert "3 networks (test_resnet)" in found.method
    assert told == ["embedding", "decoding", "training 3 networks, 6 epochs each", "judging"]


def test_images_without_a_label_get_the_opinion_of_all_networks(
    trained: tuple[Findings, list[str], Path],
) -> None:
    found, _, _ = trained
    bare = np.flatnonzero(~found.labelled)
    assert len(bare) == 20
    assert found.truth is not None
    assert (found.suggestion[bare] == found.truth[bare]).mean() > 0.8
    assert np.isnan(found.statistics["disagreement"][bare]).all()
    known = found.statistics["disagreement"][found.labelled]
    assert ((known >= 0) & (known <= 1)).all()
    assert np.median(known) > 0


def test_few_images_are_judged_several_times(dataset: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    few = replace(dataset, examples=dataset.examples[:300])
    small = config(
        Training__epochs=5, Training__batch_size=16, Dataset__num_folds=2, Dataset__num_repeats=None
    )
    found = audit_by_training(few, small, PixelsEmbedder(), cache=tmp_path, truth="truth", step=told.append)
    assert told[2] == "training 6 networks, 5 epochs each"
    assert "6 networks (test_resnet), each trained on the other 1 of 2 folds" in found.method
    wrong = wrong_of(found)
    # by chance it is 0.1
    assert average_precision_score(wrong, found.suspicion) > 0.5


def test_decoded_images_do_not_stay(trained: tuple[Findings, list[str], Path]) -> None:
    _, _, cache = trained
    assert sorted(path.name for path in cache.iterdir() if "decod" in path.name) == []


def test_a_class_with_one_image_is_left_unjudged(dataset: Dataset, tmp_path: Path) -> None:
    few = [one for one in dataset.examples[:120] if one.label in ("1", "7")]
    few[0] = replace(few[0], label="once")
    small = config(Training__epochs=1, Dataset__num_folds=2, Dataset__names=["1", "7", "once", "never"])
    found = audit_by_training(replace(dataset, examples=few), small, PixelsEmbedder(), cache=tmp_path)
    assert found.classes == ["1", "7", "once", "never"]
    assert found.reason[0].startswith("not enough labels")
    assert found.status[0] == "kept"


def test_what_does_not_fit_is_refused_before_the_work(dataset: Dataset, tmp_path: Path) -> None:
    wrong = [
        (config(Dataset__names=["1", "7"]), "Dataset.names has not: 0, 2"),
        (config(Model__num_classes=3), "num_classes is 3, the dataset has 10 classes"),
        (config(Model__class_name="resnet180"), "no model 'resnet180'"),
    ]
    for chosen, said in wrong:
        with pytest.raises(ValueError, match=said):
            audit_by_training(dataset, chosen, PixelsEmbedder(), cache=tmp_path)
    assert not list(tmp_path.iterdir())
    gone = [*dataset.examples[:60], replace(dataset.examples[60], path=tmp_path / "gone.png")]
    with pytest.raises(DatasetError, match="1 of 61 images cannot be used"):
        audit_by_training(replace(dataset, examples=gone), config(), PixelsEmbedder(), cache=tmp_path)
