"""What models say of labels they have not seen: all an audit needs to know of how that was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.heads.ensemble import fit_ensemble
from ml.heads.head import softmax
from ml.heads.knn import knn_posterior
from ml.space import Space, make_space

_BLOCK = 1 << 22  # probabilities a member, looked at together
_TINY = 1e-12


@dataclass(frozen=True)
class Evidence:
    """Predictions for n images, m of which have a label.

    Attributes
    ----------
    probs : ndarray of float32, shape (n, K)
        Class probabilities; of a labelled image by models that saw neither it nor its near-duplicates.
    disagreement : ndarray of float32, shape (n,)
        Of `disagreement`; NaN where it is not known.
    folds : ndarray of int64, shape (m,)
        The folds the labelled images were predicted by.
    neighbour_label : ndarray of int64, shape (m,)
    neighbour_support : ndarray of float32, shape (m,)
        As in `ml.heads.ensemble.Ensemble`.
    space : Space
        Of the labelled images.
    method : str
        How it was learned, in a line for people.
    """

    probs: np.ndarray
    disagreement: np.ndarray
    folds: np.ndarray
    neighbour_label: np.ndarray
    neighbour_support: np.ndarray
    space: Space
    method: str

    def for_judge(self) -> dict[str, Any]:
        """Return what `ml.suspicion.choices.judge` wants to know besides labels, probabilities and keys."""
        return {
            "folds": self.folds,
            "groups": self.space.groups,
            "neighbour_label": self.neighbour_label,
            "neighbour_support": self.neighbour_support,
        }


def learn_from_vectors(X: np.ndarray, labels: np.ndarray, n_classes: int, keys: Sequence[str]) -> Evidence:
    """Learn as the loop does: `ml.heads.ensemble` on frozen vectors.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
    labels : ndarray of int, shape (n,)
        Classes in [0, n_classes); -1 without a label.
    n_classes : int
    keys : sequence of str, length n
        Content digests.

    Raises
    ------
    NotEnoughClasses
        If the labels are of fewer than two classes.
    """
    rows = np.flatnonzero(labels >= 0)
    if len(rows) == len(X):
        fit = fit_ensemble(X, labels, n_classes, keys, keep_members=True)
        probs = fit.oos_probs
    else:
        known = [keys[row] for row in rows]
        fit = fit_ensemble(X[rows], labels[rows], n_classes, known, keep_members=True)
        probs = np.empty((len(X), n_classes), dtype=np.float32)
        probs[rows] = fit.oos_probs
        rest = np.flatnonzero(labels < 0)
        probs[rest] = fit.head.predict_proba(X[rest])
    if fit.space is None:
        raise AssertionError("a fresh fit has a space")
    apart = np.full(len(X), np.nan, dtype=np.float32)
    apart[rows] = disagreement(list(fit.members.values()))
    names = ", ".join(name for name, power in fit.weights.items() if power > 0.01)
    return Evidence(
        probs,
        apart,
        fit.folds,
        fit.neighbour_label,
        fit.neighbour_support,
        fit.space,
        f"an ensemble ({names}) on frozen vectors, {int(fit.folds.max()) + 1} folds",
    )


def take_predictions(
    probs: np.ndarray,
    X: np.ndarray,
    labels: np.ndarray,
    keys: Sequence[str],
    folds: np.ndarray,
    *,
    method: str,
    members: Sequence[np.ndarray] = (),
) -> Evidence:
    """Take predictions that were made elsewhere, by networks trained on folds for example.

    Parameters
    ----------
    probs : ndarray of float32, shape (n, K)
        As in `Evidence`.
    X, labels, keys
        As in `learn_from_vectors`; neighbours are looked for among the vectors.
    folds : ndarray of int64, shape (m,)
        Of the labelled images.
    method : str
        How they were made, in a line for people.
    members : sequence of ndarray of float32, shape (m, K)
        Log-probabilities by several models each, where there are several.
    """
    rows = np.flatnonzero(labels >= 0)
    y = labels[rows]
    space = make_space([keys[row] for row in rows], X[rows])
    posterior = knn_posterior(y, probs.shape[1], space.neighbours, space.groups)
    apart = np.full(len(X), np.nan, dtype=np.float32)
    if len(members) > 1:
        apart[rows] = disagreement(members)
    support = posterior[np.arange(len(y)), y]
    return Evidence(probs, apart, folds, posterior.argmax(axis=1), support, space, method)


def disagreement(members: Sequence[np.ndarray]) -> np.ndarray:
    """Return how far members' predictions lie apart, float32 of shape (n,), in [0, 1].

    The Jensen-Shannon divergence of their distributions (Lin, IEEE Transactions on Information Theory 37, 1991)
    relative to the most it can be, the logarithm of their number: 0 where all say the same, 1 where each is sure
    of another class. The mean divergence from a committee's consensus is McCallum and Nigam's vote (ICML 1998).

    Parameters
    ----------
    members : sequence of ndarray of float, shape (n, K)
        Log-probabilities; at least two.
    """
    n, n_classes = members[0].shape
    apart = np.empty(n, dtype=np.float32)
    for start in range(0, n, rows := max(1, _BLOCK // n_classes)):
        stacked = np.stack([softmax(member[start : start + rows]) for member in members])
        apart[start : start + rows] = _entropy(stacked.mean(axis=0)) - _entropy(stacked).mean(axis=0)
    shares: np.ndarray = np.clip(apart / np.float32(np.log(len(members))), 0.0, 1.0)
    return shares


def _entropy(probs: np.ndarray) -> np.ndarray:
    nats: np.ndarray = -(probs * np.log(np.maximum(probs, _TINY))).sum(axis=-1)
    return nats
