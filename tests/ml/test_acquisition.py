"""What every strategy must hold: one template, run for each line of the registry."""

from __future__ import annotations

import numpy as np
import pytest

from ml.acquisition import STRATEGIES, Pool, find_strategy

N, D, K = 200, 8, 3


def make_pool(n: int = N, *, cold: bool = False, labels: bool = True, seed: int = 0) -> Pool:
    """Return a pool of random vectors and probabilities with ten labelled rows of three classes."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(K), n).astype(np.float32)
    X = rng.normal(size=(n, D)).astype(np.float32)
    labelled = rng.normal(size=(10, D)).astype(np.float32)
    return Pool(X, None if cold else probs, labelled, np.arange(10) % K if labels else None)


def pick(strategy: str, pool: Pool, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return find_strategy(strategy)(pool, k, np.random.default_rng(seed))


@pytest.fixture(params=sorted(STRATEGIES))
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(("cold", "labels"), [(True, False), (True, True), (False, False), (False, True)])
@pytest.mark.parametrize("k", [0, 1, 20, 200, 500])
def test_selects_distinct_rows_and_values_all(strategy: str, cold: bool, labels: bool, k: int) -> None:
    indices, utilities = pick(strategy, make_pool(cold=cold, labels=labels), k)
    assert len(indices) == len(set(indices.tolist())) == min(k, N)
    assert indices.dtype.kind == "i"
    assert set(indices.tolist()) <= set(range(N))
    assert utilities.shape == (N,)
    assert np.isfinite(utilities).all()


def test_is_deterministic_under_a_seed(strategy: str) -> None:
    first, second = (pick(strategy, make_pool(), 30, seed=5) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_leaves_its_input_as_it_is(strategy: str) -> None:
    pool, fresh = make_pool(), make_pool()
    pick(strategy, pool, 30)
    assert np.array_equal(pool.X, fresh.X)
    assert np.array_equal(pool.probs, fresh.probs)
    assert np.array_equal(pool.labelled_X, fresh.labelled_X)


@pytest.mark.parametrize("cold", [False, True])
def test_takes_an_empty_pool(strategy: str, cold: bool) -> None:
    empty = Pool(np.zeros((0, 4)), None if cold else np.zeros((0, 3)), np.eye(4)[:2], np.array([0, 1]))
    indices, utilities = pick(strategy, empty, 5)
    assert indices.shape == utilities.shape == (0,)


def test_takes_one_class(strategy: str) -> None:
    pool = make_pool(50)
    one_probability = Pool(pool.X, np.ones((50, 1)), pool.labelled_X, np.zeros(10, dtype=int))
    assert len(pick(strategy, one_probability, 10)[0]) == 10
    one_label = Pool(pool.X, pool.probs, pool.labelled_X[:1], np.array([2]))
    assert len(pick(strategy, one_label, 10)[0]) == 10


def test_takes_a_pool_without_labels(strategy: str) -> None:
    assert len(pick(strategy, Pool(make_pool(50).X), 10)[0]) == 10
    assert len(pick(strategy, Pool(make_pool(1).X), 10)[0]) == 1


def test_takes_nothing_but_duplicates(strategy: str) -> None:
    ones = np.ones((50, D))
    for pool in (
        Pool(ones, None, np.ones((3, D)), np.array([0, 1, 1])),
        Pool(ones, np.full((50, 2), 0.5), np.eye(D)[:3], np.array([0, 1, 1])),
    ):
        indices, utilities = pick(strategy, pool, 10)
        assert len(set(indices.tolist())) == 10
        assert np.isfinite(utilities).all()


@pytest.mark.parametrize("cold", [False, True])
def test_near_duplicates_are_not_selected_together(strategy: str, cold: bool) -> None:
    rng = np.random.default_rng(0)
    originals = rng.normal(size=(40, 16))
    copies = np.repeat(originals, 5, axis=0) + rng.normal(scale=0.01, size=(200, 16))
    probs = None if cold else np.repeat(rng.dirichlet(np.ones(3), 40), 5, axis=0)
    pool = Pool(copies, probs, rng.normal(size=(6, 16)), np.arange(6) % 3)
    indices, _ = pick(strategy, pool, 30)
    assert len(set((indices // 5).tolist())) == 30


def test_keeps_away_from_what_is_in_the_batch(strategy: str) -> None:
    pool = make_pool()
    taken = Pool(pool.X, pool.probs, pool.labelled_X, pool.labelled_y, batch_X=pool.X[:100] + 1e-4)
    assert pick(strategy, taken, 100)[0].min() >= 100


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="diverse_margin"):
        find_strategy("best")


def test_a_pool_that_does_not_fit_is_refused() -> None:
    X = np.zeros((5, 3))
    with pytest.raises(ValueError, match="probs has 4 rows, X has 5"):
        Pool(X, np.zeros((4, 2)))
    with pytest.raises(ValueError, match="labelled_X"):
        Pool(X, labelled_X=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="labelled_y"):
        Pool(X, labelled_X=np.zeros((2, 3)), labelled_y=np.zeros(3))
    with pytest.raises(ValueError, match="shape"):
        Pool(np.zeros(5))
