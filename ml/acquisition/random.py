"""Uniform random order: the control every other strategy is compared with."""

from __future__ import annotations

import numpy as np


def select(
    probs: np.ndarray | None, X: np.ndarray, labelled_X: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Select rows uniformly at random.

    Parameters
    ----------
    probs : ndarray, shape (n, K), or None
        Not used.
    X : ndarray, shape (n, d)
        Vectors of the pool.
    labelled_X : ndarray, shape (m, d)
        Not used.
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
    utilities : ndarray of float, shape (n,)
        Uniform in [0, 1).
    """
    utilities = rng.random(len(X))
    return np.argsort(-utilities)[:k], utilities
