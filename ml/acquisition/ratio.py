"""Ratio sampling: the rows where the second class is nearly as probable as the first."""

from __future__ import annotations

import numpy as np

from ml.acquisition.pool import Pool
from ml.acquisition.uncertainty import select_by, small_ratio


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows with the highest ratio of the second probability to the first.

    The ratio form of margin sampling (Settles, *Active learning literature survey*, 2009, section 3.1).
    Without probabilities, as `ml.acquisition.typiclust`.

    Parameters
    ----------
    pool : Pool
    k : int
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        In [0, 1].
    """
    return select_by(small_ratio, pool, k, rng)
