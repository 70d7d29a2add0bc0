"""One logistic regression a class, for images that have several: all folds and classes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.folds import grouped_folds
from ml.heads.basis import Basis, carry, within
from ml.heads.head import LinearHead
from ml.heads.logistic import NotEnoughClasses
from ml.space import Space, make_space

N_FOLDS = 5
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
_STEPS = 120
_TRIAL_STEPS = 30
_TOLERANCE = 0.01
_SMOOTHING = 0.5
_BOUND = 40.0
_REGROW = 1.25


def _sigmoid(values: np.ndarray) -> np.ndarray:
    probs: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(values, -_BOUND, _BOUND)))
    return probs


class SigmoidHead(LinearHead):
    """Any number of classes a row: independent probabilities, by the logistic function."""

    link = staticmethod(_sigmoid)


@dataclass(frozen=True)
class MultiLabel:
    """A fitted head and what it says of its own training rows.

    Attributes
    ----------
    head : SigmoidHead
    oos_probs : ndarray of float32, shape (n, K)
        Of each training row, by the model that did not see its fold. Empty where restored.
    folds : ndarray of int64, shape (n,)
    l2 : float
    n_rows : int
        Training rows when the penalty was chosen.
    W : ndarray of float32, shape (d, M, K)
        Weights of every fold's model, the full model last; to start the next fit from.
    b : ndarray of float32, shape (M, K)
    space : Space or None
        What is known of the rows without labels. None where restored.
    """

    head: SigmoidHead
    oos_probs: np.ndarray
    folds: np.ndarray
    l2: float
    n_rows: int
    W: np.ndarray
    b: np.ndarray
    space: Space | None = None

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and under ``warm_`` what a later fit starts from."""
        return self.head.to_arrays() | {
            "warm_W": np.ascontiguousarray(self.W),
            "warm_b": np.ascontiguousarray(self.b),
            "warm_state": np.array([self.l2, self.n_rows], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> MultiLabel:
        """Build from what `to_arrays` returned, without what it said of the training rows."""
        head = SigmoidHead.from_arrays(arrays)
        l2, n_rows = arrays["warm_state"].tolist()
        nothing = np.zeros((0, len(head.b)), dtype=np.float32)
        folds = np.zeros(0, dtype=np.int64)
        return cls(head, nothing, folds, l2, int(n_rows), arrays["warm_W"], arrays["warm_b"])


def fit_sigmoid(
    X: np.ndarray,
    Y: np.ndarray,
    keys: Sequence[str],
    *,
    warm: MultiLabel | None = None,
    l2: float | None = None,
) -> MultiLabel:
    """Fit one logistic regression a class and predict each row by a model that has not seen its fold.

    Steps follow Boehning's bound (Ann. Inst. Statist. Math. 44, 1992): a quarter of the spectrum, the same for
    all classes and folds.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Vectors, finite.
    Y : ndarray of bool, shape (n, K)
        The classes each row has; none is allowed.
    keys : sequence of str, length n
        Content digests; near-duplicates share a fold.
    warm : MultiLabel, optional
        An earlier fit of nearly the same rows to start from. One that does not fit is ignored. Its penalty is
        kept while the number of rows is about what it was chosen for.
    l2 : float, optional
        Penalty; default: the one of `PENALTIES` with the lowest out-of-sample log-loss.

    Raises
    ------
    NotEnoughClasses
        If no class is present in some rows and absent in others.
    ValueError
        If shapes do not fit.
    """
    X, Y = np.asarray(X, dtype=np.float32), np.asarray(Y, dtype=bool)
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(keys) != len(X):
        raise ValueError(f"X {X.shape}, Y {Y.shape} and {len(keys)} keys must agree in their first length")
    if not len(Y) or not (Y.any(axis=0) & ~Y.all(axis=0)).any():
        raise NotEnoughClasses(
            f"{len(Y)} labels so far, and no class is in some of them and missing in others: label more"
        )
    finite = np.isfinite(X).all(axis=1)
    if not finite.all():
        raise ValueError(f"row {int(np.flatnonzero(~finite)[0])} of X is not finite")
    if warm is not None and warm.W.shape != (X.shape[1], N_FOLDS + 1, Y.shape[1]):
        warm = None
    space = make_space(keys, X, warm=warm.space if warm else None)
    folds = grouped_folds(keys, space.groups, N_FOLDS)
    basis, Z = within(space.basis, space.Z)
    seen = np.ones((len(Y), N_FOLDS + 1), dtype=np.float32)
    seen[np.arange(len(Y)), folds] = 0.0
    rows = seen.sum(axis=0)[:, None]
    share = (seen.T @ Y.astype(np.float32) + _SMOOTHING) / (rows + 2 * _SMOOTHING)
    prior = np.log(share) - np.log1p(-share)
    n_rows = len(Y)
    if warm is None:
        weights = np.concatenate([np.zeros((Z.shape[1], *prior.shape), dtype=np.float32), prior[None]])
    else:
        weights = carry(warm.W, warm.b, warm.head.mean, warm.head.scale, basis)
        if l2 is None and 1 / _REGROW <= len(Y) / max(warm.n_rows, 1) <= _REGROW:
            l2, n_rows = warm.l2, warm.n_rows
    if l2 is None:
        l2, weights = _choose(Z, basis, Y, seen, prior, folds, weights)
    weights = _solve(Z, basis, Y, seen, prior, weights, l2, _STEPS)
    W = np.tensordot(basis.axes, weights[:-1], axes=1)
    head = SigmoidHead(W[:, -1], weights[-1, -1], basis.mean, basis.scale)
    held_out = _sigmoid(_held_out(Z, folds, weights))
    return MultiLabel(head, held_out, folds, l2, n_rows, W, weights[-1], space)


def _choose(
    Z: np.ndarray,
    basis: Basis,
    Y: np.ndarray,
    seen: np.ndarray,
    prior: np.ndarray,
    folds: np.ndarray,
    weights: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Walk from strong to weak penalties until the held-out log-loss rises."""
    best: tuple[float, float, np.ndarray] | None = None
    for l2 in PENALTIES:
        weights = _solve(Z, basis, Y, seen, prior, weights, l2, _TRIAL_STEPS)
        values = _held_out(Z, folds, weights)
        loss = float((np.logaddexp(0.0, values) - Y * values).mean())
        if best is not None and loss > best[0]:
            break
        best = (loss, l2, weights)
    assert best is not None
    return best[1], best[2]


def _solve(
    Z: np.ndarray,
    basis: Basis,
    Y: np.ndarray,
    seen: np.ndarray,
    prior: np.ndarray,
    weights: np.ndarray,
    l2: float,
    steps: int,
) -> np.ndarray:
    n, (M, K) = len(Y), prior.shape
    curvature = np.append(basis.spectrum, n)
    step = (1.0 / (0.25 * curvature + l2)).astype(np.float32)[:, None, None]
    rms = np.sqrt(curvature / n).astype(np.float32)[:, None, None]
    ahead, momentum = weights, 1.0
    target = Y.astype(np.float32)[:, None, :]
    for _ in range(steps):
        r = Z.shape[1]
        residual = _sigmoid((Z @ ahead[:r].reshape(r, M * K) + ahead[r].reshape(-1)).reshape(n, M, K))
        residual -= target
        residual *= seen[:, :, None]
        gradient = np.float32(l2) * ahead
        gradient[r] -= np.float32(l2) * prior
        gradient[:r] += (Z.T @ residual.reshape(n, -1)).reshape(r, M, K)
        gradient[r] += residual.sum(axis=0)
        new = ahead - step * gradient
        moved = new - weights
        uphill = float((gradient * moved).sum()) > 0
        following = 1.0 if uphill else 0.5 + np.sqrt(0.25 + momentum**2)
        pull = 0.0 if uphill else (momentum - 1.0) / following
        ahead = new + np.float32(pull) * moved
        weights, momentum = new, following
        if float(np.sqrt(((moved * rms) ** 2).sum(axis=0)).max()) < _TOLERANCE:
            break
    return weights


def _held_out(Z: np.ndarray, folds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    out = np.empty((len(folds), weights.shape[2]), dtype=np.float32)
    for fold in np.unique(folds):
        rows = folds == fold
        out[rows] = Z[rows] @ weights[:-1, fold] + weights[-1, fold]
    return out
