"""Margin sampling whose picks keep their distance from each other."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distances import distances_to, squared_distances, squared_norms
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool
from ml.acquisition.uncertainty import small_margin

_BUDGET = 1_000_000  # distances computed in one selection
_FLOOR = 1e-3  # keeps diversity alive among rows the model is sure of


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select greedily by uncertainty times distance to the picks so far.

    Distance counts up to the typical one between two rows, so outliers are not favoured; a near-duplicate of
    a pick has distance, and so value, about zero. Without probabilities, as `ml.acquisition.typiclust`.

    Parameters
    ----------
    pool : Pool
        What is labelled has made its mark on the probabilities.
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
    if pool.probs is None:
        return typiclust.select(pool, k, rng)
    utilities = small_margin(pool.probs)
    return apart(pool, utilities, k, rng), utilities


def apart(pool: Pool, utilities: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return min(k, n) rows, greedily by utility times distance to the batch so far.

    Parameters
    ----------
    pool : Pool
    utilities : ndarray of float, shape (n,)
        In [0, 1].
    k : int
    rng : numpy.random.Generator
        Breaks ties.
    """
    k = min(k, len(pool))
    if k == 0:
        return np.zeros(0, dtype=np.int64)
    ranked = np.lexsort((rng.random(len(pool)), -utilities))
    candidates = ranked[: max(4 * k, _BUDGET // k)]
    rows = pool.X[candidates] - pool.centre
    value = utilities[candidates] + _FLOOR
    squares = squared_norms(rows)
    nearest = np.full(len(rows), np.inf, dtype=np.float32)
    if len(pool.batch_X):
        nearest = np.sqrt(squared_distances(rows, pool.batch_X - pool.centre).min(axis=1))
    wanted = min(len(rows), k + 8)  # a few to spare for near-duplicates
    picked = np.zeros(wanted, dtype=np.int64)
    for place in range(wanted):
        score = value * np.minimum(nearest / pool.typical_distance, 1.0)
        if place:
            score[picked[:place]] = -1.0
        picked[place] = int(np.argmax(score))
        nearest = np.minimum(nearest, distances_to(rows, squares, int(picked[place])))
    left = np.ones(len(pool), dtype=bool)
    left[candidates[picked]] = False
    return take(pool, np.concatenate([candidates[picked], ranked[left[ranked]]]), k)
