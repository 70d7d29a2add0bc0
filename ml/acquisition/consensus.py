"""Consensus: rows on which a neighbour vote and clusters seeded at the labels disagree, then their neighbours."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distances import squared_distances
from ml.acquisition.distinct import take
from ml.acquisition.kmeans import lloyd, nearest
from ml.acquisition.pool import Pool

_NEIGHBOURS = (1, 3, 5, 9)
_MAX_SEEDS = 500
_MAX_VOTERS = 5_000
_ROUNDS = 5
_SAMPLE = 5_000
_CHUNK = 4096


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select rows where two views of the labels disagree first, then the rows next to those.

    Query by committee (Seung, Opper and Sompolinsky, COLT 1992) with two members that need no training. One
    is an ensemble of k-nearest-neighbour votes, k in {1, 3, 5, 9}; the other k-means seeded at the labelled
    vectors, where a cluster has the class of its seed (Basu, Banerjee and Mooney, *Semi-supervised clustering
    by seeding*, ICML 2002). Finds class borders and new modes without a model; of little use where the
    vectors do not cluster by class. Without labelled rows of two classes, as `ml.acquisition.typiclust`.

    Parameters
    ----------
    pool : Pool
        Vectors, labelled vectors and their classes; probabilities are not used.
    k : int
    rng : numpy.random.Generator
        Samples rows where there are many, breaks ties.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        In [0, 1]: a half and more where the members disagree, a quarter and more next to such a row; within
        these by how split the vote is.
    """
    y = pool.labelled_y
    if y is None or len(np.unique(y)) < 2:
        return typiclust.select(pool, k, rng)
    n = len(pool)
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    rows, labelled = pool.X - pool.centre, pool.labelled_X - pool.centre
    votes = _votes(rows, labelled, y, rng)
    seeds = rng.permutation(len(labelled))[:_MAX_SEEDS]
    sample = rng.choice(n, min(n, _SAMPLE), replace=False)
    centres = lloyd(np.concatenate([rows[sample], labelled[seeds]]), labelled[seeds], _ROUNDS)
    clustered = y[seeds][nearest(rows, centres)[0]]
    disagree = votes.argmax(axis=1) != clustered
    split = 1.0 - votes[np.arange(n), clustered]
    beside = _beside(rows, np.flatnonzero(disagree), pool.typical_distance, rng)
    utilities = 0.25 * split + np.where(disagree, 0.75, 0.5 * beside)
    return take(pool, np.lexsort((rng.random(n), -utilities)), k), utilities


def _votes(rows: np.ndarray, labelled: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each row's class shares, shape (n, K), averaged over the sizes of neighbourhood."""
    if len(labelled) > _MAX_VOTERS:
        voters = rng.choice(len(labelled), _MAX_VOTERS, replace=False)
        labelled, y = labelled[voters], y[voters]
    onehot = np.eye(int(y.max()) + 1)[y]
    sizes = sorted({min(size, len(labelled)) for size in _NEIGHBOURS})
    votes = np.zeros((len(rows), onehot.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        squared = squared_distances(rows[start : start + _CHUNK], labelled)
        near = np.argpartition(squared, sizes[-1] - 1, axis=1)[:, : sizes[-1]]
        near = np.take_along_axis(near, np.take_along_axis(squared, near, axis=1).argsort(axis=1), axis=1)
        running = onehot[near].cumsum(axis=1)
        for size in sizes:
            votes[start : start + len(near)] += running[:, size - 1] / (size * len(sizes))
    return votes


def _beside(rows: np.ndarray, disputed: np.ndarray, typical: float, rng: np.random.Generator) -> np.ndarray:
    """Return how close each row is to a disputed one, shape (n,), in [0, 1]."""
    if len(disputed) == 0:
        return np.zeros(len(rows))
    if len(disputed) > _MAX_SEEDS:
        disputed = rng.choice(disputed, _MAX_SEEDS, replace=False)
    return np.clip(1.0 - nearest(rows, rows[disputed])[1] / typical, 0.0, 1.0)
