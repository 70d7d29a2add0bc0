"""DropQuery: rows whose class changes when features are dropped, spread out by clusters."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distinct import take
from ml.acquisition.kmeans import kmeans, nearest
from ml.acquisition.pool import Pool
from ml.acquisition.probe import fit_probe

_PASSES = 3
_RATE = 0.75
_MAX_CANDIDATES = 5_000
_CHUNK = 8192


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the row next to the centre of each of k clusters of the rows whose class dropout changes.

    Gupta et al., *Revisiting active learning in the era of vision foundation models* (arXiv 2401.14555,
    section 4): three passes with three quarters of the features dropped; a row is a candidate where more than
    half of the passes disagree with the full prediction. Against the paper: the classifier is a closed-form
    ridge on the labelled rows (`ml.acquisition.probe`). Without labelled rows of two classes, as
    `ml.acquisition.typiclust`.

    Parameters
    ----------
    pool : Pool
        Vectors, labelled vectors and their classes; probabilities are not used.
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        The largest cluster's first.
    utilities : ndarray of float, shape (n,)
        Share of the passes that disagree, plus up to a tenth for a small decision margin, in [0, 1].
    """
    y = pool.labelled_y
    if y is None or len(np.unique(y)) < 2:
        return typiclust.select(pool, k, rng)
    n = len(pool)
    if k == 0 or n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(n)
    probe = fit_probe(pool.labelled_X, y, rng)
    changed, margin = np.zeros(n), np.zeros(n)
    for start in range(0, n, _CHUNK):
        rows = pool.X[start : start + _CHUNK] - probe.mean
        values = rows @ probe.W + probe.b
        part = slice(start, start + len(rows))
        top = np.partition(values, -2, axis=1)[:, -2:]
        margin[part] = top[:, 1] - top[:, 0]
        predicted = values.argmax(axis=1)
        for _ in range(_PASSES):
            kept = rng.random(rows.shape, dtype=np.float32) >= _RATE
            dropped = (rows * kept / np.float32(1.0 - _RATE)) @ probe.W + probe.b
            changed[part] += dropped.argmax(axis=1) != predicted
    utilities = 0.9 * changed / _PASSES + 0.1 / (1.0 + np.maximum(margin, 0.0))
    candidates = np.flatnonzero(changed > _PASSES / 2)
    if len(candidates) > max(_MAX_CANDIDATES, 4 * k):
        candidates = rng.choice(candidates, max(_MAX_CANDIDATES, 4 * k), replace=False)
    order = np.argsort(-utilities, kind="stable")
    if len(candidates) > k:
        rows = pool.X[candidates] - pool.centre
        cluster, distance = nearest(rows, kmeans(rows, k, rng))
        size = np.bincount(cluster)
        by_distance = np.argsort(distance, kind="stable")
        _, first = np.unique(cluster[by_distance], return_index=True)
        heads = by_distance[first]
        heads = heads[np.argsort(-size[cluster[heads]], kind="stable")]
        order = np.concatenate([candidates[heads], order[~np.isin(order, candidates[heads])]])
    return take(pool, order, k), utilities
