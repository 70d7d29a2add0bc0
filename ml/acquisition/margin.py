"""Margin sampling: the rows where the two most probable classes are closest."""

from __future__ import annotations

import numpy as np

from ml.acquisition import spread


def uncertainty(probs: np.ndarray) -> np.ndarray:
    """Return one minus the margin between the two most probable classes, shape (n,), in [0, 1].

    Scheffer, Decomain and Wrobel (IDA 2001). With one class there is no margin to speak of: 0.
    """
    if probs.shape[1] < 2:
        return np.zeros(len(probs))
    top = np.partition(probs.astype(np.float64), -2, axis=1)[:, -2:]
    return np.clip(1.0 - (top[:, 1] - top[:, 0]), 0.0, 1.0)


def select(
    probs: np.ndarray | None, X: np.ndarray, labelled_X: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Select the rows with the smallest margin; without probabilities, as `ml.acquisition.spread`.

    Parameters
    ----------
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of the pool.
    X : ndarray, shape (n, d)
        Vectors of the pool.
    labelled_X : ndarray, shape (m, d)
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
    if probs is None:
        return spread.select(probs, X, labelled_X, k, rng)
    utilities = uncertainty(probs)
    return np.lexsort((rng.random(len(X)), -utilities))[:k], utilities
