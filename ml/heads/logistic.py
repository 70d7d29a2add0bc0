"""Multinomial logistic regression with out-of-sample probabilities: all folds and the full model at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.heads.basis import Basis, carry, fit_basis
from ml.heads.head import Head, softmax
from ml.heads.solver import Problem, logits, solve
from ml.heads.temperature import fit_temperature, log_loss

L2_GRID = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# each of a few rows picked to differ is the only one of its kind: held out, it says nothing about the penalty
FEW, FEW_L2 = 50, 0.1
_SEARCH_STEPS = 40
_TRIAL_STEPS = 12
_WORTH_TRYING = 2e-3
_WORTH_IT = 1e-4  # nats a weaker penalty must gain: where folds cannot tell, the stronger one stands
_SMOOTHING = 0.5
_REGROW = 1.25


class NotEnoughClasses(ValueError):
    """The labels do not tell two classes apart, so there is nothing to learn yet."""


@dataclass(frozen=True)
class Logistic:
    """A fitted head and what it says of its own training rows.

    Attributes
    ----------
    head : Head
        Fitted on all rows, temperature included.
    oos_probs : ndarray of float32, shape (n, K)
        Of each training row, by the model that did not see its fold. Empty where restored by `from_arrays`.
    log_loss : float
        Mean out-of-sample log-loss, in nats.
    l2 : float
        The penalty chosen, on the summed log-loss of vectors of norm about 1.
    temperature : float
    n_rows : int
        Training rows when the penalty was chosen.
    W : ndarray of float32, shape (d, M, K)
        Weights of every fold's model, the full model last, before temperature; to start the next fit from.
    b : ndarray of float32, shape (M, K)
    """

    head: Head
    oos_probs: np.ndarray
    log_loss: float
    l2: float
    temperature: float
    n_rows: int
    W: np.ndarray
    b: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and under ``warm_`` what a later fit starts from."""
        return self.head.to_arrays() | {
            "warm_W": np.ascontiguousarray(self.W),
            "warm_b": np.ascontiguousarray(self.b),
            "warm_state": np.array([self.l2, self.temperature, self.log_loss, self.n_rows], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Logistic:
        """Build from what `to_arrays` returned, without the out-of-sample probabilities."""
        head = Head.from_arrays(arrays)
        l2, temperature, loss, n_rows = arrays["warm_state"].tolist()
        nothing = np.zeros((0, len(head.b)), dtype=np.float32)
        return cls(head, nothing, loss, l2, temperature, int(n_rows), arrays["warm_W"], arrays["warm_b"])


def fit_logistic(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    folds: np.ndarray,
    *,
    warm: Logistic | None = None,
    l2: float | None = None,
    basis: tuple[Basis, np.ndarray] | None = None,
    max_steps: int = 200,
    tolerance: float = 1e-3,
) -> Logistic:
    """Fit a multinomial logistic head and predict each row by a model that has not seen its fold.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Vectors, finite.
    y : ndarray of int, shape (n,)
        Classes in [0, n_classes).
    n_classes : int
        K, as the label config has it: classes without an example yet get a low probability, not none.
    folds : ndarray of int, shape (n,)
        Fold of each row, from 0; see `ml.folds.stable_folds`.
    warm : Logistic, optional
        An earlier fit to start from, with rows in the same folds. One that does not fit (other d, K or number
        of folds) is ignored. Its penalty is kept while the number of rows is about what it was chosen for.
    l2 : float, optional
        Penalty; default: the one of `L2_GRID` with the lowest out-of-sample log-loss, or `FEW_L2` with fewer
        rows than `FEW`.
    basis : (Basis, ndarray of float32 of shape (n, r)), optional
        Centred, uncorrelated coordinates of X to learn in; default: those of `fit_basis`.
    max_steps : int
        Of the solver; fewer steps are a stronger penalty.
    tolerance : float
        Of the solver, in logits.

    Returns
    -------
    Logistic

    Raises
    ------
    NotEnoughClasses
        If the labels are of fewer than two classes.
    ValueError
        If shapes or values do not fit.
    """
    X = np.asarray(X, dtype=np.float32)
    y, folds = np.asarray(y, dtype=np.int64), np.asarray(folds, dtype=np.int64)
    _check(X, y, n_classes, folds)
    axes, Z = fit_basis(X) if basis is None else basis
    n_models = int(folds.max()) + 2
    if warm is not None and (warm.W.shape[0] != X.shape[1] or warm.W.shape[2] != n_classes):
        warm = None
    if warm is not None:
        n_models = max(n_models, warm.W.shape[1])
        warm = warm if warm.W.shape[1] == n_models else None
    seen = np.ones((len(y), n_models), dtype=np.float32)
    seen[np.arange(len(y)), folds] = 0.0
    problem = Problem(Z, axes.spectrum, y, seen, _prior(y, n_classes, seen))
    start = (
        _start(axes, problem)
        if warm is None
        else carry(warm.W, warm.b, warm.head.mean, warm.head.scale, axes)
    )
    n_rows = len(y)
    if l2 is None and len(y) < FEW:
        l2 = FEW_L2
    if l2 is None and warm is not None and 1 / _REGROW <= len(y) / warm.n_rows <= _REGROW:
        l2, n_rows = (
            warm.l2,
            warm.n_rows,
        )  # of when it was chosen: labels that come a few at a time are many in the end
    if l2 is None:
        l2, start = _choose_l2(problem, folds, start)
    weights, _ = solve(problem, start, l2, max_steps=max_steps, tolerance=tolerance)
    return _finish(problem, axes, folds, weights, l2, n_rows)


def choose_penalty(
    basis: tuple[Basis, np.ndarray],
    y: np.ndarray,
    n_classes: int,
    folds: np.ndarray,
    candidates: Sequence[float],
) -> float:
    """Return the candidate with the lowest log-loss on one held-out fold.

    They are tried from the strongest on, each from where the last ended, until nothing much is gained. A sixth of
    the work of trying them on all folds; enough where a fold has thousands of rows.
    """
    axes, Z = basis
    held = folds == np.bincount(folds).argmax()
    seen = np.where(held, 0.0, 1.0).astype(np.float32)[:, None]
    problem = Problem(Z, axes.spectrum, y, seen, _prior(y, n_classes, seen))
    weights = _start(axes, problem)
    best: tuple[float, float] | None = None
    for l2 in sorted(candidates, reverse=True):
        weights, _ = solve(problem, weights, l2, max_steps=_TRIAL_STEPS, tolerance=0.05)
        held_out = logits(Z[held], weights)[:, 0]
        loss = log_loss(held_out / np.float32(fit_temperature(held_out, y[held])), y[held])
        if best is not None and loss > best[0] - _WORTH_TRYING:
            break
        best = (loss, l2)
    assert best is not None
    return best[1]


def _check(X: np.ndarray, y: np.ndarray, n_classes: int, folds: np.ndarray) -> None:
    n = len(y)
    if X.ndim != 2 or len(X) != n or y.shape != (n,) or folds.shape != (n,):
        raise ValueError(f"X {X.shape}, y {y.shape} and folds {folds.shape} must agree in their first length")
    if n and (y.min() < 0 or y.max() >= n_classes):
        raise ValueError(f"labels must be in [0, {n_classes}), got {y.min()} to {y.max()}")
    if n and folds.min() < 0:
        raise ValueError("folds are numbered from 0")
    distinct = len(np.unique(y))
    if distinct < 2:
        raise NotEnoughClasses(
            f"{n} {'label' if n == 1 else 'labels'} of {distinct} {'class' if distinct == 1 else 'classes'} "
            "so far: a head needs labels of at least 2 classes"
        )
    if not np.isfinite(X).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(X).all(axis=1))[0])} of X is not finite")


def _prior(y: np.ndarray, n_classes: int, seen: np.ndarray) -> np.ndarray:
    """Log class frequencies of each model's rows, smoothed: an unseen class is unlikely, but possible."""
    counts = seen.T @ np.eye(n_classes, dtype=np.float32)[y] + _SMOOTHING
    prior: np.ndarray = np.log(counts / counts.sum(axis=1, keepdims=True))
    return prior


def _start(basis: Basis, problem: Problem) -> np.ndarray:
    M, K = problem.prior.shape
    start = np.zeros((len(basis.spectrum) + 1, M, K), dtype=np.float32)
    start[-1] = problem.prior
    return start


def _held_out(problem: Problem, folds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logits of each row by the model that has not seen it, shape (n, K)."""
    out = np.empty((len(folds), weights.shape[2]), dtype=np.float32)
    for fold in np.unique(folds):
        rows = folds == fold
        out[rows] = logits(problem.Z[rows], weights[:, fold : fold + 1])[:, 0]
    return out


def _choose_l2(problem: Problem, folds: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Walk from strong to weak penalties, each starting where the last ended, until nothing is gained."""
    best: tuple[float, float, np.ndarray] | None = None
    for l2 in L2_GRID:
        start, _ = solve(problem, start, l2, max_steps=_SEARCH_STEPS, tolerance=1e-2)
        held_out = _held_out(problem, folds, start)
        loss = log_loss(held_out / fit_temperature(held_out, problem.y), problem.y)
        if best is not None and loss > best[0] - _WORTH_IT:
            break
        best = (loss, l2, start)
    assert best is not None
    return best[1], best[2]


def _finish(
    problem: Problem, basis: Basis, folds: np.ndarray, weights: np.ndarray, l2: float, n_rows: int
) -> Logistic:
    held_out = _held_out(problem, folds, weights)
    temperature = fit_temperature(held_out, problem.y)
    held_out /= temperature
    r, M, K = weights.shape[0] - 1, weights.shape[1], weights.shape[2]
    W = (basis.axes @ weights[:r].reshape(r, M * K)).reshape(-1, M, K)
    b = weights[r]
    head = Head(W[:, -1] / np.float32(temperature), b[-1] / np.float32(temperature), basis.mean, basis.scale)
    loss = log_loss(held_out, problem.y)
    return Logistic(head, softmax(held_out), loss, l2, temperature, n_rows, W, b)
