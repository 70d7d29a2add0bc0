"""Uniform random order: the control every other strategy is compared with."""

from __future__ import annotations

import numpy as np

from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select rows uniformly at random.

    On frozen features of a narrow domain several published strategies lose to it (Werner et al., arXiv
    2403.14800).

    Parameters
    ----------
    pool : Pool
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
    utilities : ndarray of float, shape (n,)
        Uniform in [0, 1).
    """
    utilities = rng.random(len(pool))
    return take(pool, np.argsort(-utilities), k), utilities
