"""Greedy maximisation of the weighted share of a pool that labelled rows are similar to."""

from __future__ import annotations

import numpy as np

from ml.acquisition.distances import squared_distances
from ml.acquisition.pool import Pool

_REFERENCES = 4_000
_CANDIDATES = 4_000
_CHUNK = 8192


def cover(
    pool: Pool, weights: np.ndarray, k: int, rng: np.random.Generator, *, width: float = 1.0
) -> np.ndarray:
    """Rank the pool by the gain in coverage each row brings after those before it.

    Coverage is ``sum_x weight(x) max_l exp(-|x - l|^2 / width)`` over labelled rows, the batch so far and the
    picks l, with vectors centred and of unit norm: Bae, Noh and Sutherland, *Generalized coverage for more
    robust low-budget active learning* (arXiv 2407.12212), and with uncertainties for weights Bae, Oliveira
    and Sutherland, *Uncertainty herding: one active learning method for all label budgets* (arXiv
    2412.20644). Coverage is submodular, so greedy picks come within 1 - 1/e of the best. Of larger pools, the
    sum runs over 4,000 and picks are from 4,000 (or 4k) draws, with probability in proportion to their
    weight.

    Parameters
    ----------
    pool : Pool
        At least one row.
    weights : ndarray of float, shape (n,)
        Positive.
    k : int
        Rows to rank by their gain; a few more are, and the rest follows by weight.
    rng : numpy.random.Generator
    width : float
        Of the kernel, positive; two vectors at right angles are at squared distance 2.

    Returns
    -------
    ndarray of int, shape (n,)
        A permutation of the pool.
    """
    n = len(pool)
    references, shares = _draw(weights, _REFERENCES, rng)
    candidates, _ = _draw(weights, max(_CANDIDATES, 4 * k), rng)
    around = _unit(pool.X[references] - pool.centre)
    known = np.concatenate([pool.labelled_X, pool.batch_X])
    covered = np.zeros(len(around), dtype=np.float32)
    for start in range(0, len(known), _CHUNK):
        near = _kernel(around, _unit(known[start : start + _CHUNK] - pool.centre), width)
        covered = np.maximum(covered, near.max(axis=1))
    kernel = _kernel(around, _unit(pool.X[candidates] - pool.centre), width)
    gain = shares @ np.maximum(kernel - covered[:, None], 0.0)
    ranked = np.zeros(min(len(candidates), k + k // 4 + 8), dtype=np.int64)  # some spare for near-duplicates
    for place in range(len(ranked)):
        best = int(np.argmax(gain))
        ranked[place] = best
        closer = np.flatnonzero(kernel[:, best] > covered)
        before = covered[closer, None]
        after = kernel[closer, best, None]
        gain -= shares[closer] @ (np.clip(kernel[closer], before, after) - before)
        gain[best] = -np.inf
        covered[closer] = after[:, 0]
    front = candidates[ranked]
    left = np.ones(n, dtype=bool)
    left[front] = False
    behind = np.lexsort((rng.random(n), -weights))
    return np.concatenate([front, behind[left[behind]]])


def _draw(weights: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows in proportion to their weight; return each once, and its share of the draws or the weight."""
    if len(weights) <= size:
        return np.arange(len(weights)), (weights / weights.sum()).astype(np.float32)
    rows, counts = np.unique(rng.choice(len(weights), size, p=weights / weights.sum()), return_counts=True)
    return rows, (counts / counts.sum()).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _kernel(left: np.ndarray, right: np.ndarray, width: float) -> np.ndarray:
    """Gaussian kernel between rows of unit norm, shape (l, r), in (0, 1]."""
    kernel = squared_distances(left, right)
    kernel /= -np.float32(width)
    return np.exp(kernel, out=kernel)
