"""Dice and intersection over union: by hand, and against scikit-learn's F1 and Jaccard of the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from ml.segmentation.metrics import (
    confusion,
    dice_per_class,
    iou_per_class,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)

LABEL = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], dtype=np.uint8)
FOUND = np.array([[0, 1, 1, 1], [0, 0, 0, 1]], dtype=np.uint8)


def test_counts_and_figures_of_a_case_done_by_hand() -> None:
    counts = confusion(LABEL, FOUND, 3, ignore=255)

    assert counts.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert dice_per_class(counts)[:2] == pytest.approx([6 / 8, 4 / 6])
    assert iou_per_class(counts)[:2] == pytest.approx([3 / 5, 2 / 4])
    assert np.isnan(dice_per_class(counts)[2])
    assert np.isnan(iou_per_class(counts)[2])
    assert float(mean_dice(counts)) == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert float(mean_iou(counts)) == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert float(pixel_accuracy(counts)) == pytest.approx(5 / 7)


@pytest.mark.parametrize("seed", range(5))
def test_are_scikit_learns_figures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, found = rng.integers(0, 6, (2, 30, 20), dtype=np.uint8)
    found = np.where(rng.random(found.shape) < 0.5, label, found)
    label[rng.random(label.shape) < 0.1] = 255
    counts = confusion(label, found, 6, ignore=255)
    known = label != 255

    given, asked = label[known], found[known]
    assert dice_per_class(counts) == pytest.approx(f1_score(given, asked, average=None))
    assert iou_per_class(counts) == pytest.approx(jaccard_score(given, asked, average=None))
    assert float(mean_dice(counts)) == pytest.approx(f1_score(given, asked, average="macro"))
    assert float(pixel_accuracy(counts)) == pytest.approx(accuracy_score(given, asked))


def test_several_images_at_once_are_each_by_itself_and_their_sum_is_the_set() -> None:
    rng = np.random.default_rng(0)
    pairs = [tuple(rng.integers(0, 4, (2, 8, 8), dtype=np.uint8)) for _ in range(3)]
    each = np.stack([confusion(label, found, 4) for label, found in pairs])

    assert mean_dice(each) == pytest.approx([float(mean_dice(one)) for one in each])
    whole = confusion(np.hstack([one for one, _ in pairs]), np.hstack([one for _, one in pairs]), 4)
    assert (each.sum(axis=0) == whole).all()


def test_a_class_in_the_prediction_alone_counts_as_none_found() -> None:
    counts = confusion(np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 1]], np.uint8), 3)

    assert dice_per_class(counts)[1] == 0.0
    assert float(mean_dice(counts)) == pytest.approx((6 / 7 + 0) / 2)


def test_where_nothing_is_labelled_there_is_no_figure() -> None:
    empty = confusion(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 3, ignore=255)

    assert np.isnan(mean_dice(empty))
    assert np.isnan(pixel_accuracy(empty))


def test_more_than_256_classes() -> None:
    label = np.array([[300, 2]], dtype=np.uint16)

    assert confusion(label, label, 301)[300, 300] == 1


@pytest.mark.parametrize(
    ("label", "found", "what"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "cannot be compared"),
        (np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8), "the number 3, but there are 3"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8), "the number 255"),
    ],
)
def test_masks_that_do_not_fit_are_refused(label: np.ndarray, found: np.ndarray, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        confusion(label, found, 3)
