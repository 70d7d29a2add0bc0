"""Least confident sampling: the rows whose most probable class is least probable."""

from __future__ import annotations

import numpy as np

from ml.acquisition.pool import Pool
from ml.acquisition.uncertainty import least_confidence, select_by


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows whose best class has the lowest probability.

    Lewis and Gale, *A sequential algorithm for training text classifiers* (SIGIR 1994).
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
    return select_by(least_confidence, pool, k, rng)
