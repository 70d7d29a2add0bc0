"""Clusters of the pool and the labelled rows together, and the order in which to visit them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.acquisition.kmeans import kmeans, nearest
from ml.acquisition.pool import Pool

_SAMPLE = 5_000


@dataclass(frozen=True)
class Clusters:
    """A partition of the pool.

    Attributes
    ----------
    cluster : ndarray of int, shape (n,)
        Cluster of each row of the pool.
    distance : ndarray of float, shape (n,)
        To the cluster's centre.
    size : ndarray of int, shape (c,)
        Rows of the pool in each cluster.
    covered : ndarray of int, shape (c,)
        Labelled rows in each cluster.
    """

    cluster: np.ndarray
    distance: np.ndarray
    size: np.ndarray
    covered: np.ndarray

    def interleave(self, utilities: np.ndarray) -> np.ndarray:
        """Rank the pool: the best row of every cluster before the second of any.

        Clusters with fewer labels come first, larger ones first among equals.
        """
        by_cluster = np.lexsort((-utilities, self.cluster))
        first = np.cumsum(self.size) - self.size
        rank = np.empty(len(self.cluster), dtype=np.int64)
        rank[by_cluster] = np.arange(len(rank)) - first[self.cluster[by_cluster]]
        return np.lexsort((-utilities, -self.size[self.cluster], self.covered[self.cluster] + rank))


def cluster_pool(pool: Pool, n_clusters: int, rng: np.random.Generator) -> Clusters:
    """Cluster the pool and the labelled rows together by k-means, on at most 5,000 of each."""
    sample = rng.choice(len(pool), min(len(pool), _SAMPLE), replace=False)
    labelled = pool.labelled_X
    if len(labelled) > _SAMPLE:
        labelled = labelled[rng.choice(len(labelled), _SAMPLE, replace=False)]
    centres = kmeans(np.concatenate([pool.X[sample], labelled]), n_clusters, rng)
    cluster, distance = nearest(pool.X, centres)
    covered = np.bincount(nearest(pool.labelled_X, centres)[0], minlength=len(centres))
    return Clusters(cluster, distance, np.bincount(cluster, minlength=len(centres)), covered)
