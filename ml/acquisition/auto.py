"""The default: typical rows while little is known, then uncertain rows that stand for many others."""

from __future__ import annotations

import numpy as np

from ml.acquisition import herding
from ml.acquisition.coverage import cover
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool
from ml.acquisition.probe import fit_probe
from ml.acquisition.uncertainty import small_margin

_TRUSTED = 0.5  # of the way from guessing to always right: from here on the model's doubts alone count
_FLOOR = 1e-3  # keeps coverage alive among rows the model is sure of


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Select greedily by the gain in coverage of the rows that the model is unsure of.

    Uncertainty herding (Bae, Oliveira and Sutherland, arXiv 2412.20644) with the margin for uncertainty: a
    row counts with ``1 - c + c * (1 - margin)``, where c is how far the labels can be trusted to teach. Before
    there is a model c is 0 and the picks are the most typical rows, as `ml.acquisition.herding`; at 1 they
    are a diversified margin. In between c is measured: the exact leave-one-out accuracy of a closed-form
    classifier on the labelled rows (`ml.acquisition.probe`), as a share of the way from guessing to always
    right, doubled and at most 1. Without labelled classes, 1.

    Parameters
    ----------
    pool : Pool
    k : int
    rng : numpy.random.Generator

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        The weight of each row in the coverage, in (0, 1]; before there is a model, its place in the ranking.
    """
    if k == 0 or len(pool) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(len(pool))
    if pool.probs is None or pool.probs.shape[1] < 2:
        return herding.select(pool, k, rng)
    trust = competence(pool, rng)
    utilities = np.maximum(1.0 - trust + trust * small_margin(pool.probs), _FLOOR)
    return take(pool, cover(pool, utilities, k, rng), k), utilities


def competence(pool: Pool, rng: np.random.Generator) -> float:
    """Return how far the labelled rows predict each other, in [0, 1]; 1 without their classes."""
    if pool.labelled_y is None or pool.probs is None:
        return 1.0
    if len(np.unique(pool.labelled_y)) < 2:
        return 0.0
    probe = fit_probe(pool.labelled_X, pool.labelled_y, rng)
    right = float((probe.left_out == probe.y).mean())
    guess = 1.0 / pool.probs.shape[1]
    return float(np.clip((right - guess) / (1.0 - guess) / _TRUSTED, 0.0, 1.0))
