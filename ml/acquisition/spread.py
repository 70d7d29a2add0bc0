"""Rows next to the centres of clusters all over the pool."""

from __future__ import annotations

import numpy as np

from ml.acquisition.clusters import cluster_pool
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool

_MAX_CLUSTERS = 200


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the row next to the centre of each cluster, clusters without a label and large ones first.

    The centre form of TypiClust (`ml.acquisition.typiclust`): as many clusters as labels there will be, at
    most 200. Cheaper, and as good where clusters are round.

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
        In (0, 1]: high near a cluster's centre.
    """
    if k == 0 or len(pool) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(len(pool))
    clusters = cluster_pool(pool, min(k + len(pool.labelled_X), _MAX_CLUSTERS), rng)
    utilities = 1.0 / (1.0 + clusters.distance / max(float(clusters.distance.mean()), 1e-12))
    return take(pool, clusters.interleave(utilities), k), utilities
