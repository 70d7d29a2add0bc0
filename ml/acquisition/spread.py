"""Cold start: typical images from all over the pool, before there is a model to ask."""

from __future__ import annotations

import numpy as np

from ml.acquisition.distances import squared_distances

_SAMPLE = 5_000
_MAX_CLUSTERS = 200
_ROUNDS = 10
_CHUNK = 8192


def select(
    probs: np.ndarray | None, X: np.ndarray, labelled_X: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Select the row next to the centre of each cluster, clusters without a label and large ones first.

    After TypiClust (Hacohen, Dekel and Weinshall, arXiv 2202.02794): labelled and unlabelled vectors are
    clustered together, as many clusters as labels there will be (at most 200), so labels and picks cover the
    data. k-means on at most 5,000 of the rows.

    Parameters
    ----------
    probs : ndarray, shape (n, K), or None
        Not used.
    X : ndarray of float, shape (n, d)
        Vectors of the pool.
    labelled_X : ndarray of float, shape (m, d)
        Vectors of what is labelled.
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        In (0, 1]: high near a cluster's centre.
    """
    n = len(X)
    k = min(k, n)
    if k == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(n)
    X = np.asarray(X, dtype=np.float32)
    labelled_X = np.asarray(labelled_X, dtype=np.float32).reshape(-1, X.shape[1])
    sample = rng.choice(n, min(n, _SAMPLE), replace=False)
    centres = _kmeans(
        np.concatenate([X[sample], labelled_X[-_SAMPLE:]]), min(k + len(labelled_X), _MAX_CLUSTERS), rng
    )
    cluster, distance = _nearest(X, centres)
    covered = np.bincount(_nearest(labelled_X, centres)[0], minlength=len(centres))
    size = np.bincount(cluster, minlength=len(centres))
    utilities = 1.0 / (1.0 + distance / max(float(distance.mean()), 1e-12))
    # each cluster's rows from the centre outwards; the first of every cluster come before the second of any
    by_cluster = np.lexsort((distance, cluster))
    first = np.cumsum(size) - size
    rank = np.empty(n, dtype=np.int64)
    rank[by_cluster] = np.arange(n) - first[cluster[by_cluster]]
    order = np.lexsort((distance, -size[cluster], covered[cluster], rank))
    return order[:k], utilities


def _kmeans(rows: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Return the centres of Lloyd's algorithm from k-means++ seeds; fewer where rows repeat."""
    centres = rows[_seeds(rows, n_clusters, rng)]
    for _ in range(_ROUNDS):
        cluster, _ = _nearest(rows, centres)
        counts = np.bincount(cluster, minlength=len(centres))
        order = np.argsort(cluster, kind="stable")
        used = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[used]
        centres = centres.copy()
        centres[used] = np.add.reduceat(rows[order], starts, axis=0) / counts[used, None]
    return centres


def _seeds(rows: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(rows)))]
    gap = squared_distances(rows, rows[chosen])[:, 0].astype(np.float64)
    tiny = 1e-6 * float(gap.mean())
    while len(chosen) < n_clusters:
        gap[gap <= tiny] = 0.0
        total = gap.sum()
        if total <= 0:
            break
        chosen.append(
            int(min(np.searchsorted(np.cumsum(gap), rng.random() * total, side="right"), len(rows) - 1))
        )
        gap = np.minimum(gap, squared_distances(rows, rows[chosen[-1:]])[:, 0])
    return np.array(chosen)


def _nearest(rows: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row and the distance to it, each of shape (n,)."""
    cluster = np.zeros(len(rows), dtype=np.int64)
    distance = np.zeros(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _CHUNK):
        squared = squared_distances(rows[start : start + _CHUNK], centres)
        part = squared.argmin(axis=1)
        cluster[start : start + len(part)] = part
        distance[start : start + len(part)] = np.sqrt(squared[np.arange(len(part)), part])
    return cluster, distance
