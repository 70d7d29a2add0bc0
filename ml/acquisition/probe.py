"""A closed-form classifier on the labelled vectors, for strategies that need one to perturb or to measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.heads.basis import fit_basis
from ml.heads.ridge import fit_ridge

_MAX_ROWS = 2_000


@dataclass(frozen=True)
class Probe:
    """Ridge regression on class indicators.

    Attributes
    ----------
    mean : ndarray of float32, shape (d,)
    W : ndarray of float32, shape (d, K)
        From centred vectors to logits.
    b : ndarray of float32, shape (K,)
    left_out : ndarray of int, shape (m,)
        Class predicted for each of its rows without that row.
    y : ndarray of int, shape (m,)
        Their classes.
    """

    mean: np.ndarray
    W: np.ndarray
    b: np.ndarray
    left_out: np.ndarray
    y: np.ndarray

    def decide(self, X: np.ndarray) -> np.ndarray:
        """Return logits, shape (n, K), of vectors of shape (n, d)."""
        values: np.ndarray = (X - self.mean) @ self.W + self.b
        return values


def fit_probe(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Probe:
    """Fit `ml.heads.ridge.fit_ridge` on at most 2,000 rows, drawn at random.

    Parameters
    ----------
    X : ndarray of float32, shape (m, d)
    y : ndarray of int, shape (m,)
        Classes from 0, of at least two kinds.
    rng : numpy.random.Generator
    """
    if len(X) > _MAX_ROWS:
        chosen = np.sort(rng.choice(len(X), _MAX_ROWS, replace=False))
        X, y = X[chosen], y[chosen]
    basis, Z = fit_basis(X)
    ridge = fit_ridge(Z, basis, y, int(y.max()) + 1, np.arange(len(y)))
    W = (basis.axes @ ridge.W) / basis.scale[:, None]
    return Probe(basis.mean, W, ridge.b, ridge.oos_logits.argmax(axis=1), y)
