"""Margin sampling whose picks keep their distance from each other."""

from __future__ import annotations

import numpy as np

from ml.acquisition import spread
from ml.acquisition.distances import distances_to, squared_norms
from ml.acquisition.margin import uncertainty

_BUDGET = 5_000_000  # distances computed in one selection
_FLOOR = 1e-3  # keeps diversity alive among rows the model is sure of
_SAMPLE = 64


def select(
    probs: np.ndarray | None, X: np.ndarray, labelled_X: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Select greedily by uncertainty times distance to the picks so far.

    Distance counts up to the typical one between two rows, so outliers are not favoured; a near-duplicate of
    a pick has distance, and so value, about zero. Without probabilities, as `ml.acquisition.spread`.

    Parameters
    ----------
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of the pool.
    X : ndarray of float, shape (n, d)
        Vectors of the pool.
    labelled_X : ndarray, shape (m, d)
        Used by ``spread`` only: what is labelled has made its mark on ``probs``.
    k : int
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        The uncertainty, in [0, 1].
    """
    if probs is None:
        return spread.select(probs, X, labelled_X, k, rng)
    n = len(X)
    k = min(k, n)
    utilities = uncertainty(probs)
    if k == 0:
        return np.zeros(0, dtype=np.int64), utilities
    by_utility = np.lexsort((rng.random(n), -utilities))
    candidates = by_utility[: max(4 * k, _BUDGET // k)]
    rows = np.asarray(X[candidates], dtype=np.float32)
    rows = rows - rows.mean(axis=0)
    value = utilities[candidates] + _FLOOR
    squares = squared_norms(rows)
    typical = _typical_distance(rows, rng)
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    picked = np.zeros(k, dtype=np.int64)
    for position in range(k):
        score = value * np.minimum(nearest / typical, 1.0)
        if position:
            score[picked[:position]] = -1.0
        picked[position] = int(np.argmax(score))
        nearest = np.minimum(nearest, distances_to(rows, squares, int(picked[position])))
    return candidates[picked], utilities


def _typical_distance(rows: np.ndarray, rng: np.random.Generator) -> float:
    """Median distance between rows of a sample; 1 where all are the same."""
    sample = rows[rng.choice(len(rows), min(_SAMPLE, len(rows)), replace=False)]
    squares = squared_norms(sample)
    between = np.stack([distances_to(sample, squares, index) for index in range(len(sample))])
    apart = between[between > 0]
    return float(np.median(apart)) if len(apart) else 1.0
