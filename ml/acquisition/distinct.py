"""Pick from a ranking without picking the same image twice."""

from __future__ import annotations

import numpy as np

from ml.acquisition.distances import squared_distances
from ml.acquisition.pool import Pool

_BLOCK = 512


def take(pool: Pool, ranked: np.ndarray, k: int) -> np.ndarray:
    """Return the first k of a ranking that are no near-duplicates of each other or of the batch so far.

    A near-duplicate is closer than `ml.acquisition.pool.NEAR` of the typical distance between two rows. Where
    nothing else is left, the passed-over rows follow in their order.

    Parameters
    ----------
    pool : Pool
    ranked : ndarray of int, shape (r,)
        Rows of the pool, best first.
    k : int

    Returns
    -------
    ndarray of int, shape (min(k, r),)
    """
    k = min(k, len(ranked))
    radius = pool.near_distance**2
    kept = np.zeros((len(pool.batch_X) + k, pool.X.shape[1]), dtype=np.float32)
    kept[: len(pool.batch_X)] = pool.batch_X - pool.centre
    filled = len(pool.batch_X)
    picked: list[int] = []
    passed: list[int] = []
    for start in range(0, len(ranked), _BLOCK):
        if len(picked) == k:
            break
        rows = ranked[start : start + _BLOCK]
        vectors = pool.X[rows] - pool.centre
        near = np.zeros(len(rows), dtype=bool)
        if filled:
            near = squared_distances(vectors, kept[:filled]).min(axis=1) <= radius
        among = squared_distances(vectors, vectors) <= radius
        for place, row in enumerate(rows.tolist()):
            if near[place]:
                passed.append(row)
                continue
            near |= among[place]
            kept[filled] = vectors[place]
            filled += 1
            picked.append(row)
            if len(picked) == k:
                break
    return np.array(picked + passed[: k - len(picked)], dtype=np.int64)
