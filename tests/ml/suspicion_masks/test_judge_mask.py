"""One mask beside what is predicted of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.suspicion.masks import MaskFindings, judge_mask
from ml.suspicion.masks.boundary import move_boundary
from ml.suspicion.masks.edits import EXTRA, LOOSE, MISSING, WRONG
from ml.suspicion.masks.view import View
from tests.ml.suspicion_masks.scenes import CLASSES, SIZE, ellipse, predict

STREET = MaskClasses(("sky", "wall", "road", "car"))


def plant() -> np.ndarray:
    """A leaf and a root on background."""
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[ellipse((28, 28), (14, 12))] = 1
    mask[ellipse((68, 66), (13, 16))] = 3
    return mask


def street() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[30:] = 1
    mask[60:] = 2
    mask[52:66, 20:44] = 3
    return mask


def look(label: np.ndarray, truth: np.ndarray, classes: MaskClasses = CLASSES) -> MaskFindings:
    return judge_mask(label, predict(truth, classes, np.random.default_rng(5)), classes)


def overlap(found: MaskFindings, damage: np.ndarray) -> float:
    region = found.region(found.parts[0])
    return float((region & damage).sum() / (region | damage).sum())


def dropped(mask: np.ndarray) -> np.ndarray:
    return np.where(ellipse((28, 28), (14, 12)), 0, mask).astype(np.uint8)


def swapped(mask: np.ndarray) -> np.ndarray:
    return np.where(mask == 3, 2, mask).astype(np.uint8)


def blob(mask: np.ndarray) -> np.ndarray:
    return np.where(ellipse((20, 74), (9, 9)), 2, mask).astype(np.uint8)


def shifted(mask: np.ndarray) -> np.ndarray:
    return np.where(ellipse((68, 74), (13, 16)), 3, np.where(mask == 3, 0, mask)).astype(np.uint8)


def grown(mask: np.ndarray) -> np.ndarray:
    return np.where(ellipse((28, 28), (20, 18)), 1, mask).astype(np.uint8)


def shrunk(mask: np.ndarray) -> np.ndarray:
    return np.where(ellipse((68, 66), (8, 11)), 3, np.where(mask == 3, 0, mask)).astype(np.uint8)


@pytest.mark.parametrize(
    ("harm", "reason", "number", "least"),
    [
        (dropped, MISSING, 1, 0.7),
        (swapped, WRONG, 2, 0.9),
        (blob, EXTRA, 2, 0.9),
        (shifted, LOOSE, 3, 0.45),
        (grown, LOOSE, 1, 0.45),
        (shrunk, LOOSE, 3, 0.45),
    ],
)
def test_each_damage_has_its_reason_and_its_place(
    harm: Callable[[np.ndarray], np.ndarray], reason: str, number: int, least: float
) -> None:
    truth = plant()
    label = harm(truth)
    found = look(label, truth)
    assert found.parts[0].reason == reason
    assert found.parts[0].number == number
    assert found.parts[0].odds > 0.5
    assert overlap(found, label != truth) > least
    right = look(truth, truth)
    assert found.parts[0].strength > 1.5 * max((part.strength for part in right.parts), default=0.0)
    assert found.softmin <= right.softmin
    assert found.dice < right.dice


def test_without_a_background_what_is_around_goes_on() -> None:
    truth = street()
    label = truth.copy()
    label[52:60, 20:44] = 1
    label[60:66, 20:44] = 2
    found = look(label, truth, STREET)
    assert (found.parts[0].reason, found.parts[0].number) == (MISSING, 3)
    assert overlap(found, label != truth) > 0.7
    label = truth.copy()
    label[ellipse((82, 70), (8, 8))] = 3  # a car that is road
    found = look(label, truth, STREET)
    assert (found.parts[0].reason, found.parts[0].number, found.parts[0].wanted) == (EXTRA, 3, 2)
    label = np.where(truth == 3, 0, truth).astype(np.uint8)  # a car that is sky, between wall and road
    found = look(label, truth, STREET)
    assert (found.parts[0].reason, found.parts[0].number, found.parts[0].wanted) == (WRONG, 0, 3)


def test_ignored_pixels_say_nothing() -> None:
    truth = plant()
    label = blob(truth)
    label[label != truth] = 255
    found, right = look(label, truth), look(truth, truth)
    assert all(not (found.region(part) & (label == 255)).any() for part in found.parts)
    assert abs(found.softmin - right.softmin) < 0.1
    nothing = look(np.full_like(truth, 255), truth)
    assert nothing.softmin == 1.0
    assert nothing.parts == ()
    assert np.isnan(nothing.dice)
    assert sum(nothing.label_shares) == sum(nothing.shares) == nothing.confidence == 0


def test_shares_are_of_the_pixels_that_count() -> None:
    truth = plant()
    label = np.where(np.arange(SIZE) < 48, truth, 255).astype(np.uint8)
    probs = predict(truth, CLASSES, np.random.default_rng(5))
    probs[:, :, 48:] = 0.25
    found = judge_mask(label, probs, CLASSES)
    left = judge_mask(truth[:, :48], probs[:, :, :48], CLASSES)
    assert (found.label_shares, found.shares) == (left.label_shares, left.shares)
    assert found.confidence == pytest.approx(left.confidence, abs=1e-4)


def test_a_thin_object_that_is_off_is_found() -> None:
    """As thin as the steps of the coarse search are wide."""
    label, truth = np.zeros((2, 256, 256), dtype=np.uint8)
    label[60:140, 100], truth[60:140, 102] = 1, 1
    probs = np.full((4, 256, 256), 0.01, dtype=np.float32)
    np.put_along_axis(probs, truth[None].astype(int), 0.97, axis=0)
    view = View.of(label, probs, CLASSES)
    found = move_boundary(view, view.objects()[0], 1)
    assert found is not None
    (box, changed), gain = found
    assert gain > 0
    assert np.array_equal(changed, (label != truth)[box])


def test_an_empty_mask_and_a_single_class() -> None:
    truth = plant()
    found = look(np.zeros_like(truth), truth)
    assert {part.reason for part in found.parts} == {MISSING}
    assert {part.number for part in found.parts} == {1, 3}
    sure = predict(np.zeros_like(truth), CLASSES, np.random.default_rng(5), noise=0.5)
    assert judge_mask(np.zeros_like(truth), sure, CLASSES).parts == ()
    leaf = MaskClasses(("background", "leaf"))
    one = np.minimum(truth, 1)
    assert look(np.zeros_like(one), one, leaf).parts[0].reason == MISSING
    assert look(one, np.zeros_like(one), leaf).parts[0].reason == EXTRA
    alone = judge_mask(np.zeros((9, 9), np.uint8), np.ones((1, 9, 9), np.float32), MaskClasses(("wall",)))
    assert alone.softmin == pytest.approx(1.0)
    assert alone.dice == 1.0
    assert alone.parts == ()


def test_findings_are_small_and_come_back() -> None:
    truth = plant()
    for label in (truth, swapped(truth), np.full_like(truth, 255)):
        found = look(label, truth)
        text = json.dumps(found.to_json())
        assert len(text) < 8000
        again = MaskFindings.from_json(json.loads(text))
        np.testing.assert_equal(again.to_json(), found.to_json())
        assert again.parts == found.parts


def test_numbers_say_what_they_are_called() -> None:
    truth = plant()
    label = swapped(truth)
    probs = predict(truth, CLASSES, np.random.default_rng(5))
    found = judge_mask(label, probs, CLASSES)
    predicted = probs.argmax(axis=0)
    leaf = 2 * ((label == 1) & (predicted == 1)).sum() / ((label == 1).sum() + (predicted == 1).sum())
    assert found.class_dice[1] == pytest.approx(leaf, abs=1e-4)
    assert found.class_dice[2] == 0.0
    assert found.label_shares[2] == pytest.approx((label == 2).mean(), abs=1e-4)
    assert found.shares == pytest.approx([(predicted == k).mean() for k in range(4)], abs=1e-4)
    assert found.confidence == pytest.approx(probs.max(axis=0).mean(), abs=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    probs = np.full((4, 8, 8), 0.25, dtype=np.float32)
    with pytest.raises(MaskError, match=r"\(4, 8, 9\), not \(4, 8, 8\)"):
        judge_mask(np.zeros((8, 9), np.uint8), probs, CLASSES)
    with pytest.raises(MaskError, match="numbers of no class: 9"):
        judge_mask(np.full((8, 8), 9, np.uint8), probs, CLASSES)
