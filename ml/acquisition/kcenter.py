"""k-centre greedy: the rows farthest from all that is labelled."""

from __future__ import annotations

import numpy as np

from ml.acquisition.distances import distances_to, squared_norms
from ml.acquisition.kmeans import nearest
from ml.acquisition.pool import Pool


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select greedily the row farthest from the labelled rows and the picks so far.

    Sener and Savarese, *Active learning for convolutional neural networks: a core-set approach* (arXiv
    1708.00489, algorithm 1). Helps cover a pool whose vectors are clean; favours outliers.

    Parameters
    ----------
    pool : Pool
        Vectors of the pool and of what is labelled; probabilities are not used.
    k : int
    rng : numpy.random.Generator
        Draws the first row where nothing is labelled.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        Distance to the nearest labelled row over the longest one, in [0, 1].
    """
    n = len(pool)
    k = min(k, n)
    rows = pool.X - pool.centre
    squares = squared_norms(rows)
    known = np.concatenate([pool.labelled_X, pool.batch_X]) - pool.centre
    gap = nearest(rows, known)[1] if len(known) else np.full(n, np.inf)
    gap[gap < 1e-3 * pool.typical_distance] = 0.0
    picked = np.zeros(k, dtype=np.int64)
    if n and not len(known):
        utilities = np.sqrt(squares).astype(np.float64)
        gap = gap + rng.random(n)
    else:
        utilities = gap.copy()
    free = np.ones(n, dtype=bool)
    for place in range(k):
        row = (
            int(rng.integers(n)) if place == 0 and not len(known) else int(np.argmax(np.where(free, gap, -1)))
        )
        picked[place] = row
        free[row] = False
        gap = np.minimum(gap, distances_to(rows, squares, row))
    return picked, utilities / max(float(utilities.max(initial=0.0)), 1e-12)
