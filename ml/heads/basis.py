"""Standardise vectors and turn them into their principal axes, where the solver's bound is diagonal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_KEEP = 1e-6  # axes with less than this share of the largest variance carry rounding noise
_EXACT_AXES = 640  # up to here all axes are found at once; above, the leading ones by subspace iteration
_SPARE_AXES = 48
_ITERATIONS = 3


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
    mean, scale = _moments(X)
    Z = (X - mean) / scale
    gram = Z.T @ Z if d <= n else Z @ Z.T
    spectrum, vectors = np.linalg.eigh(gram.astype(np.float64))
    kept = spectrum > _KEEP * max(float(spectrum[-1]), 1e-12)
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    axes = vectors if d <= n else (Z.T @ vectors.astype(np.float32)) / np.sqrt(spectrum)
    axes = axes.astype(np.float32)
    return Basis(mean, scale, axes, spectrum), Z @ axes


def leading_basis(X: np.ndarray, rank: int) -> Basis:
    """Return the basis of the ``rank`` axes of largest variance, the largest first.

    Where there are many features and rows, the axes come from randomised subspace iteration on the
    covariance (Halko, Martinsson and Tropp, SIAM Review 53, 2011).
    """
    n, d = X.shape
    if min(n, d) <= max(rank, _EXACT_AXES):
        basis, _ = fit_basis(X)
        return Basis(
            basis.mean, basis.scale, basis.axes[:, ::-1][:, :rank].copy(), basis.spectrum[::-1][:rank]
        )
    mean, scale = _moments(X)
    Z = (X - mean) / scale
    gram = Z.T @ Z
    axes = np.random.default_rng(0).normal(size=(d, min(d, rank + _SPARE_AXES))).astype(np.float32)
    for _ in range(_ITERATIONS):
        axes = _orthonormal(gram @ axes)
    spectrum, turn = np.linalg.eigh((axes.T @ (gram @ axes)).astype(np.float64))
    axes = axes @ turn[:, ::-1][:, :rank].astype(np.float32)
    return Basis(mean, scale, axes, spectrum[::-1][:rank].copy())


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Orthonormal columns of the same span, by Cholesky: far quicker than Householder's QR on few cores."""
    wide = columns.astype(np.float64) / np.linalg.norm(columns, axis=0)
    for _ in range(2):  # once more, since one round loses half the digits
        square = wide.T @ wide
        square[np.diag_indices_from(square)] += 1e-12
        wide = wide @ np.linalg.inv(np.linalg.cholesky(square)).T
    orthonormal: np.ndarray = wide.astype(np.float32)
    return orthonormal


def project(X: np.ndarray, basis: Basis) -> np.ndarray:
    """Return the coordinates of vectors, float32 of shape (n, r)."""
    turned = basis.axes / basis.scale[:, None]
    coordinates: np.ndarray = np.asarray(X, dtype=np.float32) @ turned - basis.mean @ turned
    return coordinates


def within(basis: Basis, Z: np.ndarray) -> tuple[Basis, np.ndarray]:
    """Turn coordinates of some rows so that, over these rows, they are centred and uncorrelated.

    Parameters
    ----------
    basis : Basis
        Of the coordinates.
    Z : ndarray of float32, shape (n, r)

    Returns
    -------
    Basis
        From the same features to the turned coordinates.
    ndarray of float32, shape (n, s)
        The turned coordinates; s is at most min(n, r).
    """
    n, r = Z.shape
    if not r:
        return basis, Z
    centre = Z.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = Z - centre
    gram = centred.T @ centred if r <= n else centred @ centred.T
    spectrum, vectors = np.linalg.eigh(gram.astype(np.float64))
    kept = spectrum > _KEEP * max(float(spectrum[-1]), 1e-12)
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    turn = vectors if r <= n else (centred.T @ vectors.astype(np.float32)) / np.sqrt(spectrum)
    turn = turn.astype(np.float32)
    mean = basis.mean + basis.scale * (basis.axes @ centre)
    return Basis(mean, basis.scale, basis.axes @ turn, spectrum), centred @ turn


def carry(W: np.ndarray, b: np.ndarray, mean: np.ndarray, scale: np.ndarray, basis: Basis) -> np.ndarray:
    """Express linear models of ``(x - mean) / scale`` in the coordinates of a basis.

    Parameters
    ----------
    W : ndarray of float32, shape (d, M, K)
    b : ndarray of float32, shape (M, K)
    mean, scale : ndarray of float32, shape (d,)
    basis : Basis

    Returns
    -------
    ndarray of float32, shape (r + 1, M, K)
        The constants last.
    """
    d, M, K = W.shape
    raw = (W / scale[:, None, None]).reshape(d, M * K)
    shift = (basis.mean - mean) @ raw
    turned = basis.axes.T @ (raw * basis.scale[:, None])
    carried = np.concatenate([turned, (shift + b.reshape(M * K))[None]])
    return carried.reshape(-1, M, K).astype(np.float32)


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each feature."""
    mean = X.mean(axis=0, dtype=np.float64)
    # a second pass in chunks, so that no copy of X in double precision is made
    variance = np.zeros(X.shape[1])
    for start in range(0, len(X), 8192):
        centred = X[start : start + 8192] - mean.astype(np.float32)
        variance += np.einsum("nd,nd->d", centred, centred)
    variance /= max(len(X), 1)
    average = float(variance.mean())
    shrunk = 0.5 * variance + 0.5 * average if average > 0 else np.ones(X.shape[1])
    return mean.astype(np.float32), np.sqrt(shrunk * X.shape[1]).astype(np.float32)
