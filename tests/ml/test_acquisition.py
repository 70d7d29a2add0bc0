"""What every strategy must hold, and what each promises."""

from __future__ import annotations

import numpy as np
import pytest

from ml.acquisition import STRATEGIES, find_strategy
from ml.acquisition.explore import order
from ml.acquisition.margin import uncertainty


def pool(n: int = 200, n_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities, vectors and labelled vectors."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), n).astype(np.float32)
    return probs, rng.normal(size=(n, 8)).astype(np.float32), rng.normal(size=(10, 8)).astype(np.float32)


@pytest.fixture(params=sorted(STRATEGIES))
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("k", [0, 1, 20, 200, 500])
def test_selects_distinct_rows_and_values_all(strategy: str, cold: bool, k: int) -> None:
    probs, X, labelled_X = pool()
    indices, utilities = find_strategy(strategy)(
        None if cold else probs, X, labelled_X, k, np.random.default_rng(1)
    )
    assert len(indices) == len(set(indices.tolist())) == min(k, 200)
    assert indices.dtype.kind == "i"
    assert set(indices.tolist()) <= set(range(200))
    assert utilities.shape == (200,)
    assert np.isfinite(utilities).all()


def test_is_deterministic_under_a_seed(strategy: str) -> None:
    probs, X, labelled_X = pool()
    runs = [find_strategy(strategy)(probs, X, labelled_X, 30, np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(runs[0][0], runs[1][0])
    assert np.array_equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize("cold", [False, True])
def test_takes_an_empty_pool(strategy: str, cold: bool) -> None:
    indices, utilities = find_strategy(strategy)(
        None if cold else np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((2, 4)), 5, np.random.default_rng(0)
    )
    assert indices.shape == utilities.shape == (0,)


def test_takes_one_class_no_labels_and_nothing_but_duplicates(strategy: str) -> None:
    select, rng = find_strategy(strategy), np.random.default_rng(0)
    _, X, labelled_X = pool(50)
    assert len(select(np.ones((50, 1)), X, labelled_X, 10, rng)[0]) == 10
    assert len(select(None, X, np.zeros((0, 8)), 10, rng)[0]) == 10
    assert len(set(select(None, np.ones((50, 8)), np.ones((3, 8)), 10, rng)[0].tolist())) == 10
    assert len(set(select(np.full((50, 2), 0.5), np.ones((50, 8)), labelled_X, 10, rng)[0].tolist())) == 10


def test_uncertainty_is_one_minus_the_margin() -> None:
    probs = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.5, 0.3]])
    assert np.allclose(uncertainty(probs), [1.0, 0.0, 0.8])


def test_margin_takes_the_most_uncertain() -> None:
    probs, X, labelled_X = pool()
    indices, utilities = find_strategy("margin")(probs, X, labelled_X, 20, np.random.default_rng(0))
    assert np.allclose(utilities[indices], np.sort(uncertainty(probs))[::-1][:20])


@pytest.mark.parametrize("strategy", ["diverse_margin", "spread"])
def test_near_duplicates_are_not_selected_together(strategy: str) -> None:
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(40, 16)).astype(np.float32)
    copies = np.repeat(originals, 5, axis=0) * np.float32(1 + 1e-6)
    probs = None if strategy == "spread" else np.repeat(rng.dirichlet(np.ones(3), 40), 5, axis=0)
    indices, _ = find_strategy(strategy)(probs, copies, np.zeros((0, 16)), 30, rng)
    assert len(set((indices // 5).tolist())) == 30


def test_diverse_margin_still_prefers_the_uncertain() -> None:
    probs, X, labelled_X = pool(1000)
    indices, utilities = find_strategy("diverse_margin")(probs, X, labelled_X, 50, np.random.default_rng(0))
    assert utilities[indices].mean() > np.quantile(utilities, 0.8)


def test_spread_covers_what_labels_do_not() -> None:
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(6, dtype=np.float32)
    X = np.repeat(centres, 30, axis=0) + rng.normal(size=(180, 6)).astype(np.float32)
    first, _ = find_strategy("spread")(None, X, np.zeros((0, 6)), 6, rng)
    assert set((first // 30).tolist()) == set(range(6))
    # the first three groups are labelled: the next three picks are of the others
    following, _ = find_strategy("spread")(None, X, centres[:3], 3, rng)
    assert set((following // 30).tolist()) == {3, 4, 5}


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="diverse_margin"):
        find_strategy("best")


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize(
    ("n", "head", "exploration"), [(200, 50, 0.1), (10, 50, 0.5), (30, 10, 1.0), (5, 0, 0.1), (0, 5, 0.1)]
)
def test_the_order_is_a_permutation(strategy: str, cold: bool, n: int, head: int, exploration: float) -> None:
    probs, X, labelled_X = pool(n)
    ranked = order(
        strategy,
        probs=None if cold else probs,
        X=X,
        labelled_X=labelled_X,
        exploration=exploration,
        head=head,
        rng=np.random.default_rng(0),
    )
    assert sorted(ranked.tolist()) == list(range(n))


def test_the_order_follows_margins_but_for_the_explored_share() -> None:
    probs, X, labelled_X = pool(2000)
    by_margin = set(np.argsort(-uncertainty(probs))[:50].tolist())
    common = {"probs": probs, "X": X, "labelled_X": labelled_X, "head": 50}
    pure = order("margin", exploration=0.0, rng=np.random.default_rng(0), **common)
    assert set(pure[:50].tolist()) == by_margin
    assert (np.diff(uncertainty(probs)[pure]) <= 1e-9).all()
    explored = order("margin", exploration=0.1, rng=np.random.default_rng(0), **common)
    assert len(by_margin - set(explored[:50].tolist())) in (4, 5)


def test_exploration_is_uniform_over_the_pool_and_the_head() -> None:
    probs, X, labelled_X = pool(40)
    by_margin = np.argsort(-uncertainty(probs))
    hits, places = np.zeros(40), np.zeros(10)
    for seed in range(600):
        ranked = order("margin", probs=probs, X=X, labelled_X=labelled_X, exploration=0.1, head=10,
                       rng=np.random.default_rng(seed))  # fmt: skip
        outside = [place for place in range(10) if ranked[place] not in by_margin[:10]]
        hits[ranked[outside]] += 1
        places[outside] += 1
    assert hits[by_margin[:10]].sum() == 0
    assert hits[by_margin[10:]].min() > 4
    assert places.min() > 20


def test_wrong_input_to_order_is_named() -> None:
    probs, X, labelled_X = pool(20)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="exploration"):
        order("margin", probs=probs, X=X, labelled_X=labelled_X, exploration=2.0, rng=rng)
    with pytest.raises(ValueError, match="probs has 19 rows"):
        order("margin", probs=probs[:19], X=X, labelled_X=labelled_X, rng=rng)
