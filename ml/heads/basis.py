"""Standardise vectors and turn them into their principal axes, where the solver's bound is diagonal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_KEEP = 1e-6  # axes with less than this share of the largest variance carry rounding noise


@dataclass(frozen=True)
class Basis:
    """Coordinates ``((x - mean) / scale) @ axes``.

    Attributes
    ----------
    mean, scale : ndarray of float32, shape (d,)
    axes : ndarray of float32, shape (d, r)
        Orthonormal columns; r is at most min(n, d).
    spectrum : ndarray of float64, shape (r,)
        Sum of squares of each coordinate over the rows.
    """

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    spectrum: np.ndarray


def fit_basis(X: np.ndarray) -> tuple[Basis, np.ndarray]:
    """Return the basis of vectors of shape (n, d) and their coordinates, float32 of shape (n, r).

    Each feature is divided by its deviation, shrunk towards the average one so that nearly constant features
    are not blown up, and by sqrt(d), so that a row has norm about 1 and a penalty means the same at every d.
    """
    n, d = X.shape
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    variance = X.var(axis=0, dtype=np.float64)
    average = float(variance.mean())
    shrunk = 0.5 * variance + 0.5 * average if average > 0 else np.ones(d)
    scale = np.sqrt(shrunk * d).astype(np.float32)
    Z = (X - mean) / scale
    gram = Z.T @ Z if d <= n else Z @ Z.T
    spectrum, vectors = np.linalg.eigh(gram.astype(np.float64))
    kept = spectrum > _KEEP * max(float(spectrum[-1]), 1e-12)
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    axes = vectors if d <= n else (Z.T @ vectors.astype(np.float32)) / np.sqrt(spectrum)
    axes = axes.astype(np.float32)
    return Basis(mean, scale, axes, spectrum), Z @ axes
