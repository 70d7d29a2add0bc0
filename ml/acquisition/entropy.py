"""Entropy sampling: the rows whose class probabilities are most spread out."""

from __future__ import annotations

import numpy as np

from ml.acquisition.pool import Pool
from ml.acquisition.uncertainty import normalised_entropy, select_by


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows with the highest entropy of their class probabilities.

    Shannon (1948), as a query strategy in Settles, *Active learning literature survey* (2009, section 3.1).
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
    return select_by(normalised_entropy, pool, k, rng)
