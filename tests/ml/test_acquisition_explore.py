"""Ordering a pool: a permutation, explored by lot, without near-duplicates at its head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml.acquisition import STRATEGIES
from ml.acquisition.explore import EXPLORE_FROM, arrange, lottery, uniform_sample
from ml.acquisition.uncertainty import small_margin


def order(strategy: str, **given: Any) -> np.ndarray:
    return arrange(strategy, **given).order


def pool(n: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "probs": rng.dirichlet(np.ones(3), n),
        "X": rng.normal(size=(n, 8)),
        "labelled_X": rng.normal(size=(EXPLORE_FROM, 8)),
    }


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(
    ("n", "head", "exploration"), [(200, 50, 0.1), (10, 50, 0.5), (30, 10, 1.0), (5, 0, 0.1), (0, 5, 0.1)]
)
def test_the_order_is_a_permutation(strategy: str, cold: bool, n: int, head: int, exploration: float) -> None:
    given = pool(n) | ({"probs": None} if cold else {})
    ranked = order(
        strategy,
        **given,
        labelled_y=np.arange(EXPLORE_FROM) % 3,
        exploration=exploration,
        head=head,
        rng=np.random.default_rng(0),
    )
    assert sorted(ranked.tolist()) == list(range(n))


def test_the_order_follows_margins_but_for_the_explored_share() -> None:
    given = pool(2000)
    margins = small_margin(given["probs"])
    by_margin = set(np.argsort(-margins)[:50].tolist())
    pure = order("margin", **given, exploration=0.0, head=50, rng=np.random.default_rng(0))
    assert set(pure[:50].tolist()) == by_margin
    assert (np.diff(margins[pure]) <= 1e-9).all()
    explored = order("margin", **given, exploration=0.1, head=50, rng=np.random.default_rng(0))
    assert len(by_margin - set(explored[:50].tolist())) in (4, 5)


def test_exploration_is_uniform_over_the_pool_and_the_head() -> None:
    given = pool(40)
    by_margin = np.argsort(-small_margin(given["probs"]))
    hits, places = np.zeros(40), np.zeros(10)
    for seed in range(600):
        rng = np.random.default_rng(seed)
        ranked = order("margin", **given, exploration=0.1, head=10, rng=rng)
        outside = [place for place in range(10) if ranked[place] not in by_margin[:10]]
        hits[ranked[outside]] += 1
        places[outside] += 1
    assert hits[by_margin[:10]].sum() == 0
    assert hits[by_margin[10:]].min() > 4
    assert places.min() > 20


def test_a_small_share_of_small_heads_is_explored_in_the_long_run() -> None:
    rng, given = np.random.default_rng(0), pool()
    heads = [arrange("margin", **given, exploration=0.05, head=5, rng=rng).explored.sum() for _ in range(200)]
    assert 0.15 < np.mean(heads) < 0.35


def test_the_lowest_numbers_of_the_lottery_are_explored() -> None:
    given, drawn = pool(), lottery([str(row) for row in range(200)])
    arranged = arrange("auto", **given, lottery=drawn, exploration=0.2, head=50, rng=np.random.default_rng(0))
    assert set(np.flatnonzero(arranged.explored).tolist()) == set(np.argsort(drawn)[:10].tolist())
    assert set(np.flatnonzero(arranged.explored).tolist()) <= set(arranged.order[:50].tolist())


@pytest.mark.parametrize("early", [{"probs": None}, {"labelled_X": np.ones((EXPLORE_FROM - 1, 8))}])
def test_nothing_is_explored_before_there_is_a_model_of_enough_labels(early: dict[str, None]) -> None:
    arranged = arrange("auto", **(pool() | early), exploration=0.5, head=50, rng=np.random.default_rng(0))
    assert not arranged.explored.any()


def test_the_lottery_is_uniform_and_bound_to_the_key() -> None:
    keys = [f"{row:032x}" for row in range(4000)]
    drawn = lottery(keys)
    assert np.array_equal(drawn[:10], lottery(keys[:10]))
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(np.histogram(drawn, bins=10, range=(0, 1))[0] - 400).max() < 100


def test_the_uniform_sample_is_what_was_drawn_before_the_first_unlabelled_row() -> None:
    drawn = np.array([0.1, 0.5, 0.2, 0.9, 0.3])
    labelled = np.array([True, True, True, True, False])
    assert uniform_sample(drawn, labelled).tolist() == [True, False, True, False, False]
    assert uniform_sample(drawn, np.ones(5, dtype=bool)).all()
    assert not uniform_sample(drawn, np.zeros(5, dtype=bool)).any()


def test_accuracy_on_the_uniform_sample_has_no_bias() -> None:
    # a strategy that asks for the hard rows only: half of the rows are hard, and the model fails on those
    hard, estimates, naive = np.arange(2000) < 1000, [], []
    probs = np.where(hard[:, None], [0.5, 0.5], [0.99, 0.01])
    X = np.random.default_rng(0).normal(size=(2000, 4))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn, labelled = rng.random(2000), np.zeros(2000, dtype=bool)
        for _ in range(6):
            left = np.flatnonzero(~labelled)
            ranked = order("margin", probs=probs[left], X=X[left], labelled_X=X[labelled],
                           lottery=drawn[left], exploration=0.2, head=100, rng=rng)  # fmt: skip
            labelled[left[ranked[:100]]] = True
        estimates.append((~hard)[uniform_sample(drawn, labelled)].mean())
        naive.append((~hard)[labelled].mean())
    assert abs(np.mean(estimates) - 0.5) < 0.04
    assert np.mean(naive) < 0.2


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_no_two_rows_of_the_head_are_near_duplicates(strategy: str) -> None:
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 16)), 4, axis=0) + rng.normal(scale=0.01, size=(240, 16))
    probs = rng.dirichlet(np.ones(3), 240)
    ranked = order(strategy, probs=probs, X=X, labelled_X=rng.normal(size=(6, 16)), exploration=0.3, head=40,
                   labelled_y=np.arange(6) % 3, rng=rng)  # fmt: skip
    assert len(set((ranked[:40] // 4).tolist())) == 40


def test_wrong_input_to_order_is_named() -> None:
    given, rng = pool(20), np.random.default_rng(0)
    with pytest.raises(ValueError, match="exploration"):
        order("margin", **given, exploration=2.0, rng=rng)
    with pytest.raises(ValueError, match="probs has 19 rows"):
        order("margin", **given | {"probs": given["probs"][:19]}, rng=rng)
    with pytest.raises(ValueError, match="lottery"):
        order("margin", **given, lottery=np.zeros(3), rng=rng)
