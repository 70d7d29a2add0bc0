"""Closed-form ridge regression on class indicators, with exact leave-one-out predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.heads.basis import Basis
from ml.heads.temperature import fit_temperature, log_loss

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
_SMOOTHING = 0.5
_CHOICE_ROWS = 8192
_GAIN = 5.0  # logits a unit of the regression stands for, before temperature


@dataclass(frozen=True)
class Ridge:
    """A fitted regression, its scores scaled to logits.

    Attributes
    ----------
    W : ndarray of float32, shape (r, K)
        From coordinates to logits.
    b : ndarray of float32, shape (K,)
    oos_logits : ndarray of float32, shape (n, K)
        Of each row, by the model that has seen neither it nor its near-duplicates.
    penalty : float
    """

    W: np.ndarray
    b: np.ndarray
    oos_logits: np.ndarray
    penalty: float


def fit_ridge(
    Z: np.ndarray,
    basis: Basis,
    y: np.ndarray,
    n_classes: int,
    groups: np.ndarray,
    *,
    penalty: float | None = None,
) -> Ridge:
    """Fit ridge regression and predict each row without it: residual / (1 - leverage), exactly.

    Leave-one-out by the hat matrix is PRESS (Allen, Technometrics 16, 1974; for classification Cawley,
    IJCNN 2006). In uncorrelated coordinates the inverse is diagonal, so every penalty of the grid costs one
    matrix product. Rows of a group are left out together, by the block form of the same identity.

    Parameters
    ----------
    Z : ndarray of float32, shape (n, r)
        Centred, uncorrelated coordinates.
    basis : Basis
        Theirs.
    y : ndarray of int, shape (n,)
    n_classes : int
    groups : ndarray of int, shape (n,)
        Rows with the same number are left out together.
    penalty : float, optional
        Default: the one of `PENALTIES` with the lowest leave-one-out log-loss.
    """
    counts = np.bincount(y, minlength=n_classes)
    share = (counts / len(y)).astype(np.float32)
    prior = np.log((counts + _SMOOTHING) / (len(y) + _SMOOTHING * n_classes)).astype(np.float32)
    sums = _class_sums(Z, y, n_classes)  # Z is centred, so centring the indicators changes nothing
    if penalty is None:
        rows = slice(None, None, -(-len(y) // _CHOICE_ROWS))
        penalty = _choose(Z[rows], y[rows], basis.spectrum, sums, share, prior, len(y))
    inverse = (1.0 / (basis.spectrum + penalty)).astype(np.float32)
    W = sums * inverse[:, None]
    held_out = _left_out(Z, y, inverse, W, share, len(y))
    _leave_groups_out(held_out, Z, y, inverse, W, share, groups)
    held_out = _GAIN * held_out + prior
    temperature = fit_temperature(held_out, y)
    held_out /= temperature
    return Ridge(_GAIN * W / np.float32(temperature), prior / np.float32(temperature), held_out, penalty)


def _class_sums(Z: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Sum of the rows of each class, shape (r, K)."""
    from scipy.sparse import csr_matrix

    shape = (len(y), n_classes)
    indicators = csr_matrix((np.ones(len(y), dtype=np.float32), (np.arange(len(y)), y)), shape=shape)
    sums: np.ndarray = np.ascontiguousarray((indicators.T @ Z).T)
    return sums


def _left_out(
    Z: np.ndarray, y: np.ndarray, inverse: np.ndarray, W: np.ndarray, share: np.ndarray, n: int
) -> np.ndarray:
    """Leave-one-out regression values around the class shares, shape (n, K)."""
    leverage = np.minimum((Z * Z) @ inverse + 1.0 / n, 1.0 - 1e-4)[:, None]
    values = Z @ W
    values += leverage * share
    values[np.arange(len(y)), y] -= leverage[:, 0]
    values /= 1.0 - leverage
    return values


def _leave_groups_out(
    values: np.ndarray,
    Z: np.ndarray,
    y: np.ndarray,
    inverse: np.ndarray,
    W: np.ndarray,
    share: np.ndarray,
    groups: np.ndarray,
) -> None:
    """Replace the values of rows that have near-duplicates."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0))
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        rows = order[start:end]
        hat = (Z[rows] * inverse) @ Z[rows].T + np.float32(1.0 / len(y))
        target = -np.broadcast_to(share, (len(rows), len(share))).copy()
        target[np.arange(len(rows)), y[rows]] += 1.0
        apart = np.eye(len(rows), dtype=np.float32) * np.float32(1.0 + 1e-4) - hat
        values[rows] = target - np.linalg.solve(apart, target - Z[rows] @ W)


def _choose(
    Z: np.ndarray,
    y: np.ndarray,
    spectrum: np.ndarray,
    sums: np.ndarray,
    share: np.ndarray,
    prior: np.ndarray,
    n: int,
) -> float:
    losses = []
    for penalty in PENALTIES:
        inverse = (1.0 / (spectrum + penalty)).astype(np.float32)
        logits = _GAIN * _left_out(Z, y, inverse, sums * inverse[:, None], share, n) + prior
        losses.append(log_loss(logits / np.float32(fit_temperature(logits, y)), y))
    return PENALTIES[int(np.argmin(losses))]
