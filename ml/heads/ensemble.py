"""Several light members on the same vectors, weighted by how well each predicts labels it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ml.folds import grouped_folds
from ml.heads.basis import Basis, within
from ml.heads.head import Head, log_softmax, softmax
from ml.heads.knn import knn_posterior
from ml.heads.logistic import Logistic, NotEnoughClasses, choose_penalty, fit_logistic
from ml.heads.pool import fit_weights
from ml.heads.ridge import Ridge, fit_ridge
from ml.space import Space, make_space

__all__ = ["Ensemble", "NotEnoughClasses", "fit_ensemble"]

N_FOLDS = 5
_SMALL = 4_000  # rows up to which the logistic penalty is searched for by itself
_SHARES_OF_RIDGE = (0.33, 0.1, 0.033)  # the log-loss has about a tenth of the curvature of the squared loss
_STEPS = 25
_TOLERANCE = 0.03
_LOGISTIC_WORK = 6e11  # multiplications: the logistic member takes fewer steps, or none, to stay below
_FEWEST_STEPS = 6
# of the served head: a few labels that predict each other no better than chance still say which class is likelier
_LEAST_POWER = 0.1


@dataclass(frozen=True)
class Ensemble:
    """Fitted members and what they say of their own training rows.

    Attributes
    ----------
    head : Head
        The linear members together, for new vectors, calibrated.
    oos_probs : ndarray of float32, shape (n, K)
        Of each training row, by models that saw neither it nor its near-duplicates. Empty where restored.
    log_loss : float
        Mean out-of-sample log-loss, in nats.
    weights : dict of str to float
        Exponent of each member in the pool.
    folds : ndarray of int64, shape (n,)
    space : Space or None
        What is known of the rows without labels, to start the next fit from. None where restored.
    neighbour_label : ndarray of int64, shape (n,)
        The class most of a row's neighbours have.
    neighbour_support : ndarray of float32, shape (n,)
        The neighbours' posterior of the row's own label.
    logistic : Logistic or None
        None where there are too many classes for it.
    penalty : float
        Of the ridge member.
    n_rows : int
        Training rows when the penalty was chosen.
    coordinates : (Basis, ndarray of float32, shape (n, s)) or None
        Centred and uncorrelated over the training rows.
    members : dict of str to ndarray of float32, shape (n, K)
        Out-of-sample log-probabilities of each member. Empty where they were not asked for.
    """

    head: Head
    oos_probs: np.ndarray
    log_loss: float
    weights: dict[str, float]
    folds: np.ndarray
    space: Space | None
    neighbour_label: np.ndarray
    neighbour_support: np.ndarray
    logistic: Logistic | None
    penalty: float
    n_rows: int
    coordinates: tuple[Basis, np.ndarray] | None = None
    members: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and under ``warm_`` what a later fit starts from."""
        arrays = self.head.to_arrays()
        if self.logistic is not None:
            arrays |= {f"warm_{name}": array for name, array in self.logistic.to_arrays().items()}
        state = np.array([self.penalty, self.log_loss, self.n_rows], dtype=np.float64)
        return arrays | {"warm_ensemble": state}

    def evidence(self) -> dict[str, Any]:
        """Return what `ml.suspicion.choices.judge` wants to know of the training rows besides probabilities."""
        return {
            "folds": self.folds,
            "groups": None if self.space is None else self.space.groups,
            "neighbour_label": self.neighbour_label,
            "neighbour_support": self.neighbour_support,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Ensemble:
        """Build from what `to_arrays` returned, without what it said of the training rows."""
        head = Head.from_arrays(arrays)
        penalty, loss, n_rows = arrays["warm_ensemble"].tolist()
        stored = {
            name.removeprefix("warm_"): array for name, array in arrays.items() if name.startswith("warm_")
        }
        logistic = Logistic.from_arrays(stored) if "warm_W" in stored else None
        nothing = np.zeros(0, dtype=np.int64)
        probs = np.zeros((0, len(head.b)), dtype=np.float32)
        support = np.zeros(0, dtype=np.float32)
        return cls(head, probs, loss, {}, nothing, None, nothing, support, logistic, penalty, int(n_rows))


def fit_ensemble(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    keys: Sequence[str],
    *,
    warm: Ensemble | None = None,
    keep_members: bool = False,
) -> Ensemble:
    """Fit logistic, ridge and nearest-neighbour members and predict each row without having seen it.

    The pool is logarithmic: probabilities are the members' multiplied, each to a power, the powers chosen for
    the lowest out-of-sample log-loss (Hinton, Neural Computation 14, 2002, for products of experts). A member
    that adds nothing gets the power 0, and the powers' sum is the temperature.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Vectors, finite.
    y : ndarray of int, shape (n,)
        Classes in [0, n_classes).
    n_classes : int
        K; classes without an example are unlikely, not impossible.
    keys : sequence of str, length n
        Content digests; they decide the folds.
    warm : Ensemble, optional
        An earlier fit of nearly the same rows. Neighbours are updated, penalties kept, and the logistic member
        starts from its weights. One that does not fit is ignored.
    keep_members : bool
        Return what each member says, too.

    Raises
    ------
    NotEnoughClasses
        If the labels are of fewer than two classes.
    ValueError
        If shapes or values do not fit.
    """
    X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.int64)
    _check(X, y, n_classes, keys)
    if warm is not None and warm.head.W.shape != (X.shape[1], n_classes):
        warm = None
    space = make_space(keys, X, warm=warm.space if warm else None)
    folds = grouped_folds(keys, space.groups, N_FOLDS)
    if warm is not None and warm.space is space and warm.coordinates is not None:
        basis, Z = warm.coordinates
    else:
        basis, Z = within(space.basis, space.Z)
    steady = warm is not None and 0.8 <= len(y) / max(warm.n_rows, 1) <= 1.25
    ridge = fit_ridge(
        Z, basis, y, n_classes, space.groups, penalty=warm.penalty if warm is not None and steady else None
    )
    logistic = _fit_logistic(X, Z, basis, y, n_classes, folds, ridge, warm, steady)
    members = {"ridge": log_softmax(ridge.oos_logits)}
    if logistic is not None:
        members["logistic"] = np.log(np.maximum(logistic.oos_probs, 1e-12))
    head = _serve(ridge, logistic, basis, members, y)
    posterior = knn_posterior(y, n_classes, space.neighbours, space.groups)
    members["neighbours"] = np.log(posterior)
    weights = fit_weights(members, y)
    pooled = np.zeros((len(y), n_classes), dtype=np.float32)
    for name, values in members.items():
        pooled += np.float32(weights[name]) * values
    loss = float(-log_softmax(pooled)[np.arange(len(y)), y].mean(dtype=np.float64))
    return Ensemble(
        head,
        softmax(pooled),
        loss,
        weights,
        folds,
        space,
        posterior.argmax(axis=1),
        posterior[np.arange(len(y)), y],
        None if logistic is None else replace(logistic, oos_probs=logistic.oos_probs[:0]),
        ridge.penalty,
        warm.n_rows if warm is not None and steady else len(y),
        (basis, Z),
        members if keep_members else {},
    )


def _check(X: np.ndarray, y: np.ndarray, n_classes: int, keys: Sequence[str]) -> None:
    n = len(y)
    if X.ndim != 2 or len(X) != n or y.shape != (n,) or len(keys) != n:
        raise ValueError(f"X {X.shape}, y {y.shape} and {len(keys)} keys must agree in their first length")
    if n and (y.min() < 0 or y.max() >= n_classes):
        raise ValueError(f"labels must be in [0, {n_classes}), got {y.min()} to {y.max()}")
    distinct = len(np.unique(y))
    if distinct < 2:
        raise NotEnoughClasses(
            f"{n} {'label' if n == 1 else 'labels'} of {distinct} {'class' if distinct == 1 else 'classes'} "
            "so far: a head needs labels of at least 2 classes"
        )
    finite = np.isfinite(X).all(axis=1)
    if not finite.all():
        raise ValueError(f"row {int(np.flatnonzero(~finite)[0])} of X is not finite")


def _fit_logistic(
    X: np.ndarray,
    Z: np.ndarray,
    basis: Basis,
    y: np.ndarray,
    n_classes: int,
    folds: np.ndarray,
    ridge: Ridge,
    warm: Ensemble | None,
    steady: bool,
) -> Logistic | None:
    step = 2.0 * max(Z.size, 1) * (N_FOLDS + 1) * n_classes
    steps = int(_LOGISTIC_WORK / step)
    if steps < _FEWEST_STEPS:
        return None
    before = warm.logistic if warm is not None else None
    if len(y) <= _SMALL and steps >= 400:
        return fit_logistic(X, y, n_classes, folds, warm=before, basis=(basis, Z))
    if before is not None and steady:
        l2 = before.l2
    else:
        candidates = [ridge.penalty * share for share in _SHARES_OF_RIDGE]
        l2 = choose_penalty((basis, Z), y, n_classes, folds, candidates)
    return fit_logistic(
        X,
        y,
        n_classes,
        folds,
        warm=before,
        l2=l2,
        basis=(basis, Z),
        max_steps=min(_STEPS, steps),
        tolerance=_TOLERANCE,
    )


def _serve(
    ridge: Ridge, logistic: Logistic | None, basis: Basis, members: Mapping[str, np.ndarray], y: np.ndarray
) -> Head:
    """Fold the linear members into one head: a logarithmic pool of softmaxes is the softmax of the sum."""
    weights = fit_weights(members, y)
    if sum(weights.values()) < _LEAST_POWER:
        weights = dict.fromkeys(members, _LEAST_POWER / len(members))
    W: np.ndarray = np.float32(weights["ridge"]) * (basis.axes @ ridge.W)
    b: np.ndarray = np.float32(weights["ridge"]) * ridge.b
    if logistic is not None:
        W = W + np.float32(weights["logistic"]) * logistic.head.W
        b = b + np.float32(weights["logistic"]) * logistic.head.b
    return Head(W, b, basis.mean, basis.scale)
