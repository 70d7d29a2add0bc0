"""MaxHerding: the rows that raise the pool's similarity to what is labelled the most."""

from __future__ import annotations

import numpy as np

from ml.acquisition.coverage import cover
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select greedily by the gain in generalised coverage.

    Bae, Noh and Sutherland, *Generalized coverage for more robust low-budget active learning* (arXiv
    2407.12212): coverage is the pool's mean of the highest Gaussian kernel value to a labelled row or pick;
    on vectors of unit norm there is no radius to tune. Sampled where the pool is large, see
    `ml.acquisition.coverage`. The strongest start on frozen vectors; blind to what the model has learned.

    Parameters
    ----------
    pool : Pool
        Vectors of the pool and of what is labelled; probabilities are not used.
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        One minus the place in the ranking over n, in (0, 1].
    """
    n = len(pool)
    if k == 0 or n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(n)
    ranked = cover(pool, np.ones(n), k, rng)
    utilities = np.empty(n)
    utilities[ranked] = 1.0 - np.arange(n) / n
    return take(pool, ranked, k), utilities
