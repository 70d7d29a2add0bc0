"""Fit many multinomial logistic models on subsets of the same rows in one matrix product per step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CHUNK_VALUES = 1 << 21  # logits held at a time
_BOUND = 40.0  # of logits; a class at the bound has probability 0 or 1 in single precision


@dataclass(frozen=True)
class Problem:
    """Rows, labels and which model sees which row.

    Attributes
    ----------
    Z : ndarray of float32, shape (n, r)
        Uncorrelated, centred coordinates.
    spectrum : ndarray of float, shape (r,)
        Sum of squares of each coordinate.
    y : ndarray of int, shape (n,)
    seen : ndarray of float32, shape (n, M)
        1 where a model trains on a row, else 0.
    prior : ndarray of float32, shape (M, K)
        Biases to shrink towards.
    """

    Z: np.ndarray
    spectrum: np.ndarray
    y: np.ndarray
    seen: np.ndarray
    prior: np.ndarray


def solve(
    problem: Problem, start: np.ndarray, l2: float, *, max_steps: int = 200, tolerance: float = 1e-3
) -> tuple[np.ndarray, int]:
    """Minimise, for every model, the summed log-loss of its rows plus ``l2 / 2`` times its squared weights.

    Steps follow Boehning's bound on the Hessian (Ann. Inst. Statist. Math. 44, 1992), diagonal in these
    coordinates and the same for all models, with Nesterov's momentum restarted per model when it points
    uphill (O'Donoghue and Candes, 2015). No line search, so a step costs two matrix products whatever the
    number of models.

    Parameters
    ----------
    problem : Problem
    start : ndarray of float32, shape (r + 1, M, K)
        Weights to start from; the last row is the bias.
    l2 : float
        Penalty, positive; the bias is shrunk towards its prior with the same.
    tolerance : float
        Stop when no weight moves a row's logits by more than this in a step (root mean square over rows).

    Returns
    -------
    weights : ndarray of float32, shape (r + 1, M, K)
    steps : int
    """
    n = len(problem.y)
    curvature = np.append(problem.spectrum, n)
    step = (1.0 / (0.5 * curvature + l2)).astype(np.float32)[:, None, None]
    rms = np.sqrt(curvature / n).astype(np.float32)[:, None, None]
    weights = start
    ahead = start
    momentum = np.ones(start.shape[1], dtype=np.float32)
    for count in range(1, max_steps + 1):
        gradient = _gradient(problem, ahead, l2)
        new = ahead - step * gradient
        moved = new - weights
        restart = np.einsum("rmk,rmk->m", gradient, moved) > 0
        following = np.where(restart, 1.0, 0.5 + np.sqrt(0.25 + momentum**2)).astype(np.float32)
        pull = np.where(restart, 0.0, (momentum - 1.0) / following).astype(np.float32)
        ahead = new + pull[None, :, None] * moved
        weights, momentum = new, following
        if float(np.sqrt(((moved * rms) ** 2).sum(axis=0)).max()) < tolerance:
            return weights, count
    return weights, max_steps


def logits(Z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return logits of shape (n, M, K)."""
    r, M, K = weights.shape[0] - 1, weights.shape[1], weights.shape[2]
    flat = Z @ weights[:r].reshape(r, M * K) + weights[r].reshape(M * K)
    return flat.reshape(len(Z), M, K)


def _probabilities(values: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in place. Bounding logits is quicker than finding the largest of each row."""
    np.clip(values, -_BOUND, _BOUND, out=values)
    np.exp(values, out=values)
    flat = values.reshape(-1, values.shape[-1])
    flat /= (flat @ np.ones(flat.shape[1], dtype=np.float32))[:, None]
    return values


def _gradient(problem: Problem, weights: np.ndarray, l2: float) -> np.ndarray:
    r, M, K = weights.shape[0] - 1, weights.shape[1], weights.shape[2]
    gradient = weights * np.float32(l2)
    gradient[r] -= problem.prior * np.float32(l2)
    rows = max(1, _CHUNK_VALUES // (M * K))
    for begin in range(0, len(problem.y), rows):
        part = slice(begin, begin + rows)
        residual = _probabilities(logits(problem.Z[part], weights))
        residual[np.arange(len(residual)), :, problem.y[part]] -= 1.0
        residual *= problem.seen[part, :, None]
        gradient[:r] += (problem.Z[part].T @ residual.reshape(-1, M * K)).reshape(r, M, K)
        gradient[r] += residual.sum(axis=0)
    return gradient
