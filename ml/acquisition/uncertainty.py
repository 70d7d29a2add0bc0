"""How unsure class probabilities are, in four ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool


def least_confidence(probs: np.ndarray) -> np.ndarray:
    """Return one minus the highest probability, scaled to [0, 1], shape (n,)."""
    n_classes = probs.shape[1]
    if n_classes < 2:
        return np.zeros(len(probs))
    return np.clip((1.0 - probs.max(axis=1)) * n_classes / (n_classes - 1.0), 0.0, 1.0).astype(np.float64)


def small_margin(probs: np.ndarray) -> np.ndarray:
    """Return one minus the margin between the two most probable classes, shape (n,), in [0, 1].

    With one class there is no margin to speak of: 0.
    """
    if probs.shape[1] < 2:
        return np.zeros(len(probs))
    second, first = _top_two(probs)
    return np.clip(1.0 - (first - second), 0.0, 1.0)


def small_ratio(probs: np.ndarray) -> np.ndarray:
    """Return the second highest probability over the highest, shape (n,), in [0, 1]."""
    if probs.shape[1] < 2:
        return np.zeros(len(probs))
    second, first = _top_two(probs)
    return np.clip(second / np.maximum(first, 1e-12), 0.0, 1.0)


def normalised_entropy(probs: np.ndarray) -> np.ndarray:
    """Return the entropy over that of the uniform distribution, shape (n,), in [0, 1]."""
    if probs.shape[1] < 2:
        return np.zeros(len(probs))
    p = np.maximum(probs.astype(np.float64), 1e-12)
    return np.clip(-(p * np.log(p)).sum(axis=1) / np.log(probs.shape[1]), 0.0, 1.0)


def select_by(
    measure: Callable[[np.ndarray], np.ndarray], pool: Pool, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Select the k rows highest by a measure of their probabilities; before there are any, by typicality.

    Parameters
    ----------
    measure : callable
        Probabilities of shape (n, K) to uncertainties of shape (n,).
    pool : Pool
    k : int
    rng : numpy.random.Generator
        Breaks ties.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
    utilities : ndarray of float, shape (n,)
    """
    if pool.probs is None:
        return typiclust.select(pool, k, rng)
    utilities = measure(pool.probs)
    return take(pool, np.lexsort((rng.random(len(pool)), -utilities)), k), utilities


def _top_two(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top = np.partition(probs.astype(np.float64), -2, axis=1)[:, -2:]
    return top[:, 0], top[:, 1]
