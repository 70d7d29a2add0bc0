"""Margin sampling: the rows where the two most probable classes are closest."""

from __future__ import annotations

import numpy as np

from ml.acquisition.pool import Pool
from ml.acquisition.uncertainty import select_by, small_margin


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows with the smallest margin.

    Scheffer, Decomain and Wrobel, *Active hidden Markov models for information extraction* (IDA
    2001).
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
    return select_by(small_margin, pool, k, rng)
