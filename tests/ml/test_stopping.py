"""The stop signal: estimated accuracy with its interval, and the gain of the next labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml.heads.logistic import fit_logistic
from ml.stopping import (
    LearningCurve,
    estimate_accuracy,
    fit_learning_curve,
    look_ahead,
    measure_learning_curve,
)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for truth, n in ((0.5, 30), (0.9, 60), (0.98, 200)):
        inside = []
        for _ in range(400):
            estimate = estimate_accuracy(rng.random(n) < truth)
            assert estimate is not None
            inside.append(estimate.low <= truth <= estimate.high)
        assert np.mean(inside) > 0.91


def test_all_right_does_not_mean_certain() -> None:
    estimate = estimate_accuracy(np.ones(20, dtype=bool))
    assert estimate is not None
    assert estimate.value == estimate.high == 1.0
    assert 0.8 < estimate.low < 0.9


def test_the_uniform_sample_is_used_where_it_is_large_enough() -> None:
    correct = np.arange(200) >= 100  # wrong on what the strategy asked for
    uniform = np.arange(200) >= 140
    estimate = estimate_accuracy(correct, uniform)
    assert estimate is not None
    assert (estimate.value, estimate.n, estimate.source) == (1.0, 60, "exploration")
    too_few = estimate_accuracy(correct, uniform, min_uniform=61)
    assert too_few is not None
    assert (too_few.value, too_few.n, too_few.source) == (0.5, 200, "labels")


def test_labels_picked_for_being_hard_are_weighted_by_confidence() -> None:
    rng, gaps, naive, inside = np.random.default_rng(0), [], [], []
    for _ in range(20):
        chance = rng.uniform(0.4, 1.0, 5000)  # calibrated: the share that is right
        correct = rng.random(5000) < chance
        picked = np.zeros(5000, dtype=bool)
        picked[rng.choice(5000, 400, replace=False, p=(1.05 - chance) / (1.05 - chance).sum())] = True
        estimate = estimate_accuracy(
            correct[picked], confidence=chance[picked], pool_confidence=chance[~picked]
        )
        assert estimate is not None
        assert estimate.source == "weighted"
        gaps.append(estimate.value - correct.mean())
        naive.append(correct[picked].mean() - correct.mean())
        inside.append(estimate.low < correct.mean() < estimate.high)
    assert np.mean(naive) < -0.06
    assert abs(np.mean(gaps)) < 0.02
    assert np.mean(inside) >= 0.85


def test_without_labels_there_is_no_estimate() -> None:
    assert estimate_accuracy(np.zeros(0, dtype=bool)) is None


@pytest.mark.parametrize(("ceiling", "scale", "rate"), [(0.95, 2.0, 0.5), (0.8, 1.0, 0.4), (1.0, 3.0, 0.7)])
def test_a_power_law_is_found_again(ceiling: float, scale: float, rate: float) -> None:
    truth = LearningCurve(ceiling, scale, rate)
    sizes = np.array([50, 100, 200, 400])
    found = fit_learning_curve(sizes, np.array([truth.at(size) for size in sizes]))
    assert found.at(800) == pytest.approx(truth.at(800), abs=0.01)
    assert found.gain(400) == pytest.approx(truth.gain(400), abs=0.005)


def test_gains_are_never_negative_and_shrink() -> None:
    falling = fit_learning_curve(np.array([50, 100, 200]), np.array([0.8, 0.78, 0.75]))
    assert falling.gain(200) == 0.0
    rising = fit_learning_curve(np.array([50, 100, 200]), np.array([0.6, 0.7, 0.76]))
    assert rising.gain(200) > rising.gain(400) > rising.gain(2000) > 0
    assert rising.ceiling <= 1.0


def test_one_size_makes_no_curve() -> None:
    with pytest.raises(ValueError, match="two numbers of labels"):
        fit_learning_curve(np.array([100, 100]), np.array([0.7, 0.8]))


def test_the_measured_curve_foretells_digits() -> None:
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(X))
    rows = shuffled[:200]
    sizes, accuracy = measure_learning_curve(X[rows], y[rows], rng)
    assert sizes.tolist() == [25, 50, 100, 200]
    assert (np.diff(accuracy) > 0).all()
    more = shuffled[:300]
    _, later = measure_learning_curve(X[more], y[more], rng)
    told = fit_learning_curve(sizes, accuracy).gain(200)
    assert 0.0 < told < 0.1
    assert told == pytest.approx(later[-1] - accuracy[-1], abs=0.03)


def test_too_few_labels_or_classes_have_no_curve() -> None:
    rng = np.random.default_rng(0)
    sizes, accuracy = measure_learning_curve(np.zeros((5, 3)), np.zeros(5), rng)
    assert len(sizes) == len(accuracy) == 0
    sizes, _ = measure_learning_curve(rng.normal(size=(100, 3)), np.zeros(100), rng)
    assert len(sizes) == 0


def test_an_outlook_on_a_collection_is_near_what_comes() -> None:
    told, came, true, gains = [], [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 4, 3000)
        X = (2.2 * np.eye(12)[y] + rng.normal(size=(3000, 12))).astype(np.float32)
        folds = rng.integers(0, 3, 3000)
        fits = [fit_logistic(X[:n], y[:n], 4, folds[:n]) for n in (150, 250)]
        accuracy = [(fit.head.predict_proba(X[250:]).argmax(axis=1) == y[250:]).mean() for fit in fits]
        fit = fits[0]
        outlook = look_ahead(
            X[:150],
            y[:150],
            fit.oos_probs.argmax(axis=1) == y[:150],
            fit.oos_probs.max(axis=1),
            fit.head.predict_proba(X[150:]).max(axis=1),
            uniform=np.ones(150, dtype=bool),
            n_folds=3,
            rng=rng,
        )
        assert outlook is not None
        assert outlook.gain is not None
        assert outlook.accuracy.low < accuracy[0] < outlook.accuracy.high
        told.append(outlook.accuracy.value)
        true.append(accuracy[0])
        gains.append(outlook.gain)
        came.append(accuracy[1] - accuracy[0])
    assert abs(np.mean(told) - np.mean(true)) < 0.03
    assert 0 < np.mean(gains) < 4 * np.mean(came)


def test_an_outlook_on_too_few_labels_has_no_gain() -> None:
    few = np.zeros(3)
    outlook = look_ahead(
        np.eye(3),
        np.arange(3),
        few > 0,
        few,
        np.zeros(9),
        uniform=few > 0,
        n_folds=5,
        rng=np.random.default_rng(0),
    )
    assert outlook is not None
    assert outlook.gain is None
    none = np.zeros(0)
    assert (
        look_ahead(
            none.reshape(0, 2),
            none,
            none > 0,
            none,
            few,
            uniform=none > 0,
            n_folds=5,
            rng=np.random.default_rng(0),
        )
        is None
    )
