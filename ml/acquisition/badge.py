"""BADGE: rows whose loss gradients are long and point different ways."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distances import squared_norms
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows by k-means++ in the space of the last layer's gradients.

    Ash, Zhang, Krishnamurthy, Langford and Agarwal, *Deep batch active learning by diverse, uncertain
    gradient lower bounds* (arXiv 1906.03671): the gradient under the predicted class is the outer product of
    (probabilities - one-hot of the predicted class) and the vector; distances between outer products follow
    from the inner products of their factors, so none is ever built. Vectors are centred, of unit norm on
    average, with a 1 for the bias. Without probabilities, as `ml.acquisition.typiclust`.

    Parameters
    ----------
    pool : Pool
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        In the order drawn; the longest gradient is the first.
    utilities : ndarray of float, shape (n,)
        Length of the gradient over the longest one, in [0, 1].
    """
    if pool.probs is None:
        return typiclust.select(pool, k, rng)
    n = len(pool)
    k = min(k, n)
    if k == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(n)
    errors = np.array(pool.probs, dtype=np.float32)
    errors[np.arange(n), errors.argmax(axis=1)] -= 1.0
    rows = pool.X - pool.centre
    rows /= max(float(np.sqrt(squared_norms(rows).mean())), 1e-12)
    lengths = squared_norms(errors) * (squared_norms(rows) + 1.0)
    utilities = np.sqrt(lengths / max(float(lengths.max()), 1e-12)).astype(np.float64)
    drawn = [int(np.argmax(lengths))]
    gap = np.full(n, np.inf)
    wanted = min(n, k + k // 4 + 8)  # some to spare for near-duplicates
    while len(drawn) < wanted:
        last = drawn[-1]
        inner = (errors @ errors[last]) * (rows @ rows[last] + 1.0)
        squared = lengths + lengths[last] - 2.0 * inner
        squared[squared < 1e-5 * (lengths + lengths[last])] = 0.0
        gap = np.minimum(gap, squared)
        gap[drawn] = 0.0
        total = gap.sum()
        if total <= 0:
            break
        drawn.append(int(min(np.searchsorted(np.cumsum(gap), rng.random() * total, side="right"), n - 1)))
    left = np.setdiff1d(np.arange(n), drawn)
    tail = left[np.argsort(-utilities[left], kind="stable")]
    return take(pool, np.concatenate([np.array(drawn), tail]), k), utilities
