"""What each strategy promises."""

from __future__ import annotations

import numpy as np
import pytest

from ml.acquisition import Pool, find_strategy
from ml.acquisition.probe import fit_probe
from ml.acquisition.uncertainty import least_confidence, normalised_entropy, small_margin, small_ratio

PROBS = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])


def groups(n_groups: int, each: int, d: int, *, gap: float = 20.0, seed: int = 0) -> np.ndarray:
    """Return well separated groups of rows, one after the other."""
    rng = np.random.default_rng(seed)
    return np.repeat(gap * np.eye(n_groups, d), each, axis=0) + rng.normal(size=(n_groups * each, d))


def pick(strategy: str, pool: Pool, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return find_strategy(strategy)(pool, k, np.random.default_rng(seed))


def test_measures_of_uncertainty() -> None:
    assert np.allclose(small_margin(PROBS), [1.0, 0.0, 0.8, 1.0])
    assert np.allclose(least_confidence(PROBS), [0.75, 0.0, 0.75, 1.0])
    assert np.allclose(small_ratio(PROBS), [1.0, 0.0, 0.6, 1.0])
    assert np.allclose(normalised_entropy(PROBS), [np.log(2) / np.log(3), 0.0, 0.9372, 1.0], atol=1e-4)


@pytest.mark.parametrize(
    ("strategy", "measure"),
    [
        ("least", least_confidence),
        ("margin", small_margin),
        ("ratio", small_ratio),
        ("entropy", normalised_entropy),
    ],
)
def test_the_most_uncertain_come_first(strategy: str, measure) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(4), 300)
    indices, utilities = pick(strategy, Pool(rng.normal(size=(300, 8)), probs), 20)
    assert np.allclose(utilities[indices], np.sort(measure(probs))[::-1][:20])


@pytest.mark.parametrize("strategy", ["diverse_margin", "badge", "auto"])
def test_diversity_still_prefers_the_uncertain(strategy: str) -> None:
    X, y = groups(4, 300, 16, gap=3.0), np.repeat(np.arange(4), 300)
    rng = np.random.default_rng(0)
    labelled = rng.choice(1200, 80, replace=False)
    pool = np.setdiff1d(np.arange(1200), labelled)
    probs = np.full((len(pool), 4), 0.02)
    probs[np.arange(len(pool)), y[pool]] = 0.94
    unsure = rng.choice(len(pool), 200, replace=False)
    probs[unsure] = 0.25
    indices, _ = pick(strategy, Pool(X[pool], probs, X[labelled], y[labelled]), 50)
    assert np.isin(indices, unsure).mean() > 0.6


@pytest.mark.parametrize("strategy", ["spread", "typiclust", "herding", "kcenter", "auto"])
def test_the_first_picks_cover_the_groups(strategy: str) -> None:
    X = groups(6, 30, 6)
    first, _ = pick(strategy, Pool(X), 6)
    assert set((first // 30).tolist()) == set(range(6))


@pytest.mark.parametrize("strategy", ["spread", "typiclust", "herding", "kcenter", "vae"])
def test_what_labels_do_not_cover_comes_next(strategy: str) -> None:
    X = groups(6, 30, 6)
    labelled = np.concatenate([X[:5], X[30:35], X[60:65]]) + 0.01
    following, _ = pick(strategy, Pool(X, None, labelled, np.repeat([0, 1, 2], 5)), 3)
    assert set((following // 30).tolist()) <= {3, 4, 5}


def test_typiclust_takes_the_dense_middle_and_kcenter_the_edge() -> None:
    X = np.random.default_rng(0).normal(size=(400, 6))
    radius = np.linalg.norm(X, axis=1)
    assert radius[pick("typiclust", Pool(X), 1)[0]] < np.quantile(radius, 0.2)
    far = pick("kcenter", Pool(X, labelled_X=np.zeros((1, 6))), 1)[0]
    assert radius[far] == radius.max()


def test_badge_draws_from_every_direction() -> None:
    X = groups(4, 50, 8)
    probs = np.full((200, 4), 0.25)
    indices, _ = pick("badge", Pool(X, probs), 8)
    assert set((indices // 50).tolist()) == set(range(4))


def test_dropquery_takes_what_dropout_changes() -> None:
    rng = np.random.default_rng(0)
    sure = np.repeat([[-2.0], [2.0]], 100, axis=0) + rng.normal(size=(200, 32))
    unsure = rng.normal(size=(30, 32))  # half way between the two groups
    labelled, y = np.concatenate([sure[:20], sure[100:120]]), np.repeat([0, 1], 20)
    indices, _ = pick("dropquery", Pool(np.concatenate([sure, unsure]), None, labelled, y), 15)
    assert (indices >= 200).mean() > 0.8


def test_consensus_takes_disagreements_and_what_lies_next_to_them() -> None:
    rng = np.random.default_rng(0)
    # a cluster with the label of its one seed, in the midst of another class's
    X = np.concatenate([rng.normal(size=(100, 4)), 8 + rng.normal(size=(100, 4))])
    labelled = np.concatenate([X[:10], 8 + 0.1 * rng.normal(size=(6, 4))])
    y = np.concatenate([np.zeros(10, dtype=int), [0, 1, 0, 1, 1, 0]])
    indices, utilities = pick("consensus", Pool(X, None, labelled, y), 20)
    assert (indices >= 100).all()
    assert utilities[100:].mean() > utilities[:100].mean()


def test_mixture_picks_from_every_component() -> None:
    X = np.concatenate([groups(2, 100, 6), groups(3, 8, 6)[16:]])  # the third group is rare
    y = np.concatenate([np.repeat([0, 1], 100), np.full(8, 2)])
    labelled = np.concatenate([np.arange(5), np.arange(100, 105), np.arange(200, 204)])
    pool = np.setdiff1d(np.arange(208), labelled)
    indices, _ = pick("mixture", Pool(X[pool], None, X[labelled], y[labelled]), 6)
    assert np.bincount(y[pool][indices], minlength=3).min() >= 1


def test_vae_prefers_what_is_unlike_the_labelled() -> None:
    X = groups(2, 100, 8, gap=6.0)
    _, utilities = pick("vae", Pool(X, None, X[:60], np.zeros(60, dtype=int)), 5)
    assert utilities[100:].mean() > 1.5 * utilities[60:100].mean()


def test_the_probe_predicts_rows_it_has_not_seen() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2100, 5)).astype(np.float32), rng.integers(0, 3, 2100)
    nothing_to_learn = fit_probe(X, y, rng)
    assert len(nothing_to_learn.left_out) == 2000
    assert abs((nothing_to_learn.left_out == nothing_to_learn.y).mean() - 1 / 3) < 0.06
    learned = fit_probe(X, X[:, :3].argmax(axis=1), rng)
    assert (learned.decide(X).argmax(axis=1) == X[:, :3].argmax(axis=1)).mean() > 0.9
    assert (learned.left_out == learned.y).mean() > 0.9
