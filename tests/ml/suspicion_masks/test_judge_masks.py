"""A set of masks: order, probabilities, reviews, copies, and sets of a few."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from ml.masks.damage import damage_mask
from ml.suspicion.masks import REASONS, MaskFindings, judge_mask, judge_masks
from ml.suspicion.masks.groups import TwoGroups
from ml.suspicion.reasons import DUPLICATE, TOO_FEW
from tests.ml.suspicion_masks.scenes import CLASSES, Scenes, draw, predict

_BAD = 12  # of the scenes' masks


@pytest.fixture(scope="module")
def right(scenes: Scenes) -> list[MaskFindings]:
    return [judge_mask(*pair, scenes.classes) for pair in zip(scenes.masks, scenes.probs, strict=True)]


@pytest.fixture(scope="module")
def found(
    scenes: Scenes, right: list[MaskFindings]
) -> tuple[list[MaskFindings], np.ndarray, list[np.ndarray]]:
    """Findings of which the first are of damaged masks, which those are, and where."""
    rng, findings, regions = np.random.default_rng(1), list(right), []
    for row in range(_BAD):
        damaged, _, region = damage_mask(scenes.masks[row], scenes.classes, rng)
        findings[row] = judge_mask(damaged, scenes.probs[row], scenes.classes)
        regions.append(region)
    return findings, np.arange(len(findings)) < _BAD, regions


Found = tuple[list[MaskFindings], np.ndarray, list[np.ndarray]]


def test_damaged_masks_come_first_and_more_so_than_by_softmin(found: Found) -> None:
    findings, bad, regions = found
    judged = judge_masks(findings)
    precision = average_precision_score(bad, judged.suspicion)
    assert precision > average_precision_score(bad, [-one.softmin for one in findings]) + 0.05
    assert precision > 0.8
    assert ((judged.suspicion >= 0) & (judged.suspicion <= 1)).all()
    assert bad[judged.suspect].mean() > 0.7
    assert judged.suspect[bad].mean() > 0.35
    assert 0.4 < judged.expected_wrong / bad.sum() < 1.7
    assert {judged.reason[row] for row in np.flatnonzero(judged.suspect)} <= set(REASONS)
    assert not any(judged.reason[row] for row in np.flatnonzero(~judged.suspect))
    overlaps = []
    for row in np.flatnonzero(bad & judged.suspect):
        part = judged.part[row]
        region = findings[row].region(part)
        overlaps.append((region & regions[row]).sum() / (region | regions[row]).sum())
    assert np.mean(overlaps) > 0.5


def test_a_class_the_model_never_gets_right_makes_not_all_suspect(scenes: Scenes) -> None:
    """Boundaries of one class are always predicted narrower than people draw them."""
    findings = []
    for mask, probs in zip(scenes.masks, scenes.probs, strict=True):
        doubted = probs.copy()
        doubted[2] *= 0.12
        findings.append(judge_mask(mask, doubted / doubted.sum(axis=0), scenes.classes))
    with_it = np.array([(mask == 2).any() for mask in scenes.masks])
    judged = judge_masks(findings)
    assert judged.suspect[with_it].mean() < 0.25
    assert judged.expected_wrong < 0.2 * len(findings)


def test_reviewed_masks_are_not_suspect_again_and_teach(found: Found, right: list[MaskFindings]) -> None:
    findings, bad, _ = found
    first = judge_masks(findings)
    reviewed = np.zeros(len(findings), dtype=bool)
    reviewed[np.argsort(-first.suspicion, kind="stable")[:20]] = True
    mended = [right[row] if reviewed[row] and bad[row] else one for row, one in enumerate(findings)]
    before = [one if reviewed[row] and bad[row] else None for row, one in enumerate(findings)]
    changed = np.where(reviewed, (reviewed & bad).astype(int), -1)
    again = judge_masks(mended, reviewed=reviewed, before=before, before_changed=changed)
    assert not again.suspect[reviewed].any()
    assert again.calibration is not None
    assert again.calibration.n_reviewed == 20
    assert again.suspicion[reviewed & bad].mean() < 0.5 * first.suspicion[reviewed & bad].mean()
    fine = judge_masks(findings, reviewed=reviewed, before_changed=np.where(reviewed, 0, -1))
    assert fine.suspicion[~reviewed].mean() < first.suspicion[~reviewed].mean()
    assert fine.expected_wrong < again.expected_wrong
    unknown = judge_masks(mended, reviewed=reviewed, before_changed=changed)
    assert unknown.calibration is not None
    assert unknown.calibration.n_reviewed == int((reviewed & ~bad).sum())


def test_a_wanted_precision_moves_the_threshold(found: Found) -> None:
    findings, _, _ = found
    strict, lax = (judge_masks(findings, precision=wanted) for wanted in (0.95, 0.3))
    assert strict.threshold > lax.threshold
    assert strict.suspect.sum() < lax.suspect.sum()


def test_copies_with_masks_that_differ_are_suspect(scenes: Scenes, right: list[MaskFindings]) -> None:
    other = scenes.masks[0].copy()
    other[scenes.masks[0] > 0] = 0
    other[5:40, 5:40] = 1
    shaky = np.roll(scenes.masks[1], 1, axis=0)
    findings = [
        *right,
        judge_mask(other, scenes.probs[0], scenes.classes),
        judge_mask(shaky, scenes.probs[1], scenes.classes),
    ]
    keys = [*(str(row) for row in range(len(right))), "0", "1"]
    judged = judge_masks(findings, keys=keys)
    n = len(right)
    assert judged.suspicion[n] >= 0.5
    assert judged.suspicion[0] < 0.5
    assert (judged.reason[n], judged.reason[0]) == (DUPLICATE, DUPLICATE)
    assert (judged.twin[n], judged.twin[0]) == (0, n)
    assert judged.twin[n + 1] == judged.twin[1] == -1


def test_a_class_of_one_fold_alone_cannot_be_judged(scenes: Scenes, right: list[MaskFindings]) -> None:
    folds = np.arange(len(right)) % 4
    wrong = np.where(scenes.masks[0] > 0, 0, scenes.masks[0])
    wrong[30:50, 30:50] = 2
    some = [row for row in range(1, len(right)) if folds[row] == 0 or not (scenes.masks[row] == 2).any()]
    findings = [judge_mask(wrong, scenes.probs[0], scenes.classes), *(right[row] for row in some)]
    judged = judge_masks(findings, folds=folds[[0, *some]])
    assert judge_masks(findings).suspect[0]
    assert judged.suspicion[0] < 0.5
    assert not judged.suspect[0]
    assert judged.reason[0] == TOO_FEW


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30])
def test_sets_of_a_few_are_judged(count: int, right: list[MaskFindings]) -> None:
    judged = judge_masks(right[:count])
    assert judged.suspicion.shape == (count,)
    assert np.isfinite(judged.suspicion).all()
    assert 0 < judged.threshold <= 1
    assert (judged.suspicion < 0.5).all()
    assert 0 <= judged.expected_wrong <= 0.3 * count + 0.01
    assert len(judged.reason) == len(judged.part) == count


def small_set(count: int, wrong: int, seed: int) -> list[MaskFindings]:
    """Masks of which the first lack all objects of their commonest class; the others are hardly doubted."""
    rng = np.random.default_rng(seed)
    findings = []
    for row in range(count):
        truth = draw(rng)
        label = truth.copy()
        if row < wrong:
            label[label == np.bincount(truth[truth > 0]).argmax()] = 0
        findings.append(judge_mask(label, predict(truth, CLASSES, rng, noise=0.8), CLASSES))
    return findings


@pytest.mark.parametrize(("count", "wrong"), [(20, 1), (30, 3), (40, 4)])
def test_a_few_damaged_masks_do_not_pass_for_usual(count: int, wrong: int) -> None:
    found, false = [], []
    for seed in range(4):
        judged = judge_masks(small_set(count, wrong, seed))
        found += (judged.suspect & (judged.suspicion >= 0.5))[:wrong].tolist()
        false.append(int(judged.suspect[wrong:].sum()))
    assert np.mean(found) >= 0.75
    assert np.mean(false) <= 1


def test_small_sets_without_damage_have_hardly_a_suspect() -> None:
    assert max(int(judge_masks(small_set(30, 0, seed)).suspect.sum()) for seed in range(4)) <= 1


def test_masks_that_are_all_alike(right: list[MaskFindings]) -> None:
    judged = judge_masks([right[0]] * 40)
    assert np.ptp(judged.suspicion) == 0
    assert judged.suspicion[0] < 0.2
    assert not judged.suspect.any()


def test_lists_of_classes_are_not_mixed(right: list[MaskFindings]) -> None:
    other = MaskFindings.from_json({**right[0].to_json(), "shares": [0.5, 0.5]})
    with pytest.raises(ValueError, match="one list of classes"):
        judge_masks([right[0], other])


def test_two_groups_are_told_apart_and_counted() -> None:
    rng = np.random.default_rng(0)
    usual = rng.gumbel(2.2, 0.75, 400)
    wrong = np.arange(400) < 60
    scores = np.where(wrong, np.maximum(usual, rng.exponential(6.0, 400)), usual)
    odds = TwoGroups.fit(scores).log_odds(scores)
    probs = 1 / (1 + np.exp(-odds))
    assert (np.diff(odds[np.argsort(scores)]) >= -1e-9).all()
    assert 35 < probs.sum() < 90
    assert wrong[probs > 0.9].mean() > 0.9
    nothing = TwoGroups.fit(usual[wrong[::-1]])
    assert nothing.rate < 0.12
