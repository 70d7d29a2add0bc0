"""Lloyd's algorithm from k-means++ seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.acquisition.distances import squared_distances, squared_norms

_CHUNK = 8192
_TRIALS = 4


def kmeans(rows: np.ndarray, n_clusters: int, rng: np.random.Generator, *, rounds: int = 10) -> np.ndarray:
    """Return at most ``n_clusters`` centres of rows of shape (n, d); fewer where rows repeat.

    Seeds are drawn with probability proportional to the squared distance to those so far (Arthur and
    Vassilvitskii, SODA 2007).
    """
    return lloyd(rows, rows[plus_plus(rows, n_clusters, rng)], rounds)


def lloyd(rows: np.ndarray, centres: np.ndarray, rounds: int) -> np.ndarray:
    """Move centres of shape (c, d) to the means of the rows nearest to each; one without rows stays."""
    for _ in range(rounds):
        cluster, _ = nearest(rows, centres)
        counts = np.bincount(cluster, minlength=len(centres))
        order = np.argsort(cluster, kind="stable")
        used = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[used]
        centres = centres.copy()
        centres[used] = np.add.reduceat(rows[order], starts, axis=0) / counts[used, None]
    return centres


def plus_plus(rows: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows k-means++ seeds with, at most ``n_clusters``; fewer where rows repeat.

    The greedy form: of a few draws, the one that leaves the least distance.
    """
    squares = squared_norms(rows)
    chosen = [int(rng.integers(len(rows)))]
    gap = _squared_to(rows, squares, chosen)[:, 0]
    while len(chosen) < n_clusters:
        ends = np.cumsum(gap, dtype=np.float64)
        if ends[-1] <= 0:
            break
        drawn = np.searchsorted(ends, rng.random(_TRIALS) * ends[-1], side="right")
        drawn = np.minimum(drawn, len(rows) - 1)
        gaps = np.minimum(gap[:, None], _squared_to(rows, squares, drawn))
        best = int(gaps.sum(axis=0).argmin())
        chosen.append(int(drawn[best]))
        gap = gaps[:, best]
    return np.array(chosen)


def _squared_to(rows: np.ndarray, squares: np.ndarray, chosen: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return squared distances to some of the rows, shape (n, c); what rounding leaves counts as zero."""
    sums = squares[:, None] + squares[chosen]
    squared = sums - 2.0 * (rows @ rows[chosen].T)
    squared[squared < 1e-5 * sums] = 0.0
    return squared


def nearest(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row and the distance to it, each of shape (n,)."""
    cluster = np.zeros(len(rows), dtype=np.int64)
    distance = np.zeros(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _CHUNK):
        squared = squared_distances(rows[start : start + _CHUNK], centres)
        part = squared.argmin(axis=1)
        cluster[start : start + len(part)] = part
        distance[start : start + len(part)] = np.sqrt(squared[np.arange(len(part)), part])
    return cluster, distance
