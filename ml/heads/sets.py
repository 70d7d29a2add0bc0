"""Class sets from two light members on the same vectors, weighted by how well each predicts sets it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ml.heads.knn import knn_shares
from ml.heads.pool import fit_weights
from ml.heads.sigmoid import MultiLabel, SigmoidHead, fit_sigmoid

EVEN = 0.5  # a class at least this probable is one of the row's
_TINY = 1e-6


@dataclass(frozen=True)
class SetEnsemble:
    """Fitted members and what they say of their own training rows.

    Attributes
    ----------
    head : SigmoidHead
        The logistic member, for new vectors, calibrated.
    oos_probs : ndarray of float32, shape (n, K)
        Of each class of each training row, by members that saw neither it nor its near-duplicates. Empty where
        restored.
    weights : dict of str to float
        What each member's log-odds are multiplied by.
    neighbour_shares : ndarray of float32, shape (n, K)
        Share of a row's neighbours that have the class.
    linear : MultiLabel
    """

    head: SigmoidHead
    oos_probs: np.ndarray
    weights: dict[str, float]
    neighbour_shares: np.ndarray
    linear: MultiLabel

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and under ``warm_`` what a later fit starts from."""
        return self.linear.to_arrays() | self.head.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> SetEnsemble:
        """Build from what `to_arrays` returned, without what it said of the training rows."""
        linear = MultiLabel.from_arrays(arrays)
        return cls(linear.head, linear.oos_probs, {}, linear.oos_probs, linear)

    def evidence(self) -> dict[str, Any]:
        """Return what `ml.suspicion.multilabel` wants to know of the training rows besides probabilities."""
        groups = None if self.linear.space is None else self.linear.space.groups
        return {"folds": self.linear.folds, "groups": groups, "neighbour_shares": self.neighbour_shares}


def fit_sets(
    X: np.ndarray, Y: np.ndarray, keys: Sequence[str], *, warm: SetEnsemble | None = None
) -> SetEnsemble:
    """Fit a logistic regression a class and the neighbours' shares, and pool them.

    The pool adds log-odds, weighted for the lowest out-of-sample log-loss over all classes, as
    `ml.heads.ensemble` does with the classes of single choices. Which class holds is often no question of a
    half-space (even digits, say): there the neighbours tell, and where they do not their weight is small.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Vectors, finite.
    Y : ndarray of bool, shape (n, K)
        The classes each row has; none is allowed.
    keys : sequence of str, length n
        Content digests; near-duplicates share a fold and have no vote on each other.
    warm : SetEnsemble, optional
        An earlier fit of nearly the same rows to start from. One that does not fit is ignored.

    Raises
    ------
    NotEnoughClasses
        If no class is present in some rows and absent in others.
    ValueError
        If shapes do not fit.
    """
    Y = np.asarray(Y, dtype=bool)
    linear = fit_sigmoid(X, Y, keys, warm=warm.linear if warm else None)
    assert linear.space is not None
    shares = knn_shares(Y, linear.space.neighbours, linear.space.groups)
    answers = Y.T.reshape(-1).astype(np.int64)
    members = {"logistic": _decisions(linear.oos_probs), "neighbours": _decisions(shares)}
    weights = fit_weights(members, answers)
    temperature = np.float32(max(fit_weights({"logistic": members["logistic"]}, answers)["logistic"], _TINY))
    head = replace(linear.head, W=temperature * linear.head.W, b=temperature * linear.head.b)
    odds = sum(
        (
            np.float32(weight) * (members[name][:, 1] - members[name][:, 0])
            for name, weight in weights.items()
        ),
        start=np.zeros(Y.size, dtype=np.float32),
    )
    pooled = (1.0 / (1.0 + np.exp(-odds))).reshape(Y.shape[::-1]).T
    return SetEnsemble(head, np.ascontiguousarray(pooled), weights, shares, linear)


def likely_sets(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes more probable than not, and how sure that is.

    Parameters
    ----------
    probs : ndarray of float, shape (n, K)

    Returns
    -------
    ndarray of bool, shape (n, K)
    ndarray of float, shape (n,)
        Probability of the least certain of a row's K decisions, in [0.5, 1].
    """
    likely = probs >= EVEN
    return likely, np.where(likely, probs, 1.0 - probs).min(axis=1)


def _decisions(probs: np.ndarray) -> np.ndarray:
    """Log-probabilities of no and yes, class by class, float32 of shape (K n, 2)."""
    yes = np.clip(probs.T.reshape(-1), _TINY, 1.0 - _TINY)
    return np.log(np.stack([1.0 - yes, yes], axis=1))
