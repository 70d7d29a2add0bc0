"""What strategies are worth on scikit-learn's digits: a small form of the benchmark of priorities."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml.acquisition.campaign import Curve, Step, replay

BUDGETS = (20, 40, 80, 160, 320)
SEEDS = range(3)


@cache
def curves(strategy: str, exploration: float = 0.0) -> tuple[Curve, ...]:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    found = []
    for seed in SEEDS:
        shuffled = np.random.default_rng(seed).permutation(len(X))
        test, train = shuffled[:600], shuffled[600:]
        found.append(
            replay(
                strategy,
                X[train],
                y[train],
                X[test],
                y[test],
                budgets=BUDGETS,
                n_classes=10,
                seed=seed,
                exploration=exploration,
            )
        )
    return tuple(found)


def mean_area(strategy: str, exploration: float = 0.0) -> float:
    return float(np.mean([curve.area for curve in curves(strategy, exploration)]))


def test_auto_beats_random_at_every_budget_even_with_exploration() -> None:
    auto = np.mean([curve.accuracy for curve in curves("auto", 0.1)], axis=0)
    random = np.mean([curve.accuracy for curve in curves("random")], axis=0)
    assert (auto > random).all()
    assert mean_area("auto", 0.1) > mean_area("random") + 0.02


def test_auto_is_as_good_as_the_best_single_strategy() -> None:
    best = max(mean_area(strategy) for strategy in ("margin", "entropy", "typiclust", "herding", "badge"))
    assert mean_area("auto", 0.1) > best - 0.015


@pytest.mark.parametrize(
    "strategy", ["herding", "typiclust", "margin", "diverse_margin", "badge", "dropquery"]
)
def test_these_are_worth_more_than_chance(strategy: str) -> None:
    assert mean_area(strategy) > mean_area("random") + 0.01


def test_a_campaign_labels_what_it_says_and_repeats_itself() -> None:
    first = curves("auto", 0.1)[0]
    assert first.budgets == BUDGETS
    assert len(set(first.labelled.tolist())) == BUDGETS[-1]
    again = curves.__wrapped__("auto", 0.1)[0]
    assert np.array_equal(first.labelled, again.labelled)
    assert first.accuracy == again.accuracy


def test_every_step_is_reported_with_its_uniform_sample() -> None:
    rng, steps = np.random.default_rng(0), list[Step]()
    y = rng.integers(0, 2, 300)
    X = (y[:, None] + rng.normal(size=(300, 4))).astype(np.float32)
    replay(
        "auto", X, y, X, y, budgets=(20, 100, 160), n_classes=2, seed=0, exploration=0.4, on_step=steps.append
    )
    assert [len(step.rows) for step in steps] == [20, 100, 160]
    assert [int(step.uniform.sum()) for step in steps] == sorted(int(step.uniform.sum()) for step in steps)
    assert steps[-1].uniform.sum() >= 20
