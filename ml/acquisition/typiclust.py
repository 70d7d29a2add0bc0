"""TypiClust: the most typical row of every cluster that has no label yet."""

from __future__ import annotations

import numpy as np

from ml.acquisition.clusters import Clusters, cluster_pool
from ml.acquisition.distances import squared_distances
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool

_MAX_CLUSTERS = 500
_NEIGHBOURS = 20
_REFERENCES = 400  # rows of a cluster that stand for all of it


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the row of highest density in each cluster, clusters without a label and large ones first.

    Hacohen, Dekel and Weinshall, *Active learning on a budget: opposite strategies suit high and low budgets*
    (arXiv 2202.02794, section 3.2): as many clusters as labels there will be, at most 500; typicality is the
    inverse mean distance to the 20 nearest rows of the same cluster. Against the paper: the clusters are of
    the given vectors, and a cluster of more than 400 rows is measured against 400 of them.

    Parameters
    ----------
    pool : Pool
        Vectors of the pool and of what is labelled; probabilities are not used.
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        Typicality, in (0, 1].
    """
    if k == 0 or len(pool) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(len(pool))
    clusters = cluster_pool(pool, min(k + len(pool.labelled_X), _MAX_CLUSTERS), rng)
    utilities = typicality(pool, clusters, rng)
    return take(pool, clusters.interleave(utilities), k), utilities


def typicality(pool: Pool, clusters: Clusters, rng: np.random.Generator) -> np.ndarray:
    """Return the typicality of each row among those of its cluster, shape (n,), in (0, 1]."""
    gap = np.zeros(len(pool))
    by_cluster = np.argsort(clusters.cluster, kind="stable")
    ends = np.cumsum(clusters.size)
    for rows in np.split(by_cluster, ends[:-1]):
        if len(rows) < 2:
            gap[rows] = np.inf  # a row on its own is typical of nothing
            continue
        references = rows if len(rows) <= _REFERENCES else rng.choice(rows, _REFERENCES, replace=False)
        # the row itself, at distance 0, is one of the nearest where it is a reference
        count = max(1, min(_NEIGHBOURS, len(references) - 1) * len(references) // len(rows))
        squared = squared_distances(pool.X[rows] - pool.centre, pool.X[references] - pool.centre)
        if len(references) > count + 1:
            squared = np.partition(squared, count, axis=1)[:, : count + 1]
        gap[rows] = np.sqrt(squared).sum(axis=1) / count
    finite = gap[np.isfinite(gap)]
    scale = float(finite.mean()) if len(finite) and finite.mean() > 0 else 1.0
    return np.maximum(1.0 / (1.0 + gap / scale), 1e-9)
