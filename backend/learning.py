"""Learn a head from the labelled tasks and say what it makes of every task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.embedding import Embedded
from backend.labelstudio.choices import ChoicesKind
from backend.registry import Version
from backend.targets import Targets
from ml.folds import stable_folds
from ml.heads.head import Head
from ml.heads.logistic import Logistic, NotEnoughClasses, fit_logistic

FOLDS = 5


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes
    ----------
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of every task, out-of-sample for labelled ones; zero without a vector. None: no head.
    fit : Logistic or None
        The head and its folds.
    folds : ndarray of int, shape (labelled tasks with a vector,), or None
    accuracy : float or None
        Share of labelled tasks whose label the out-of-sample prediction agrees with, in [0, 1].
    why_not : str or None
        Why there is no head.
    """

    probs: np.ndarray | None
    fit: Logistic | None
    folds: np.ndarray | None
    accuracy: float | None
    why_not: str | None = None

    def served_by(self, version: Version, targets: Targets, embedded: Embedded) -> Learned:
        """Return the same with the unlabelled tasks predicted by a published version."""
        if self.probs is None:
            return self
        rows = np.flatnonzero((targets.labels < 0) & embedded.ok)
        probs = self.probs.copy()
        probs[rows] = Head.from_arrays(version.arrays).predict_proba(embedded.vectors[rows])
        return replace(self, probs=probs)


def learn(targets: Targets, embedded: Embedded, kind: ChoicesKind, *, warm: Version | None) -> Learned:
    """Fit the head of a single-choice project.

    Parameters
    ----------
    warm : Version or None
        A version over the same classes and vectors to start from.
    """
    labelled = np.flatnonzero((targets.labels >= 0) & embedded.ok)
    keys = [str(embedded.keys[row]) for row in labelled.tolist()]
    folds = stable_folds(keys, FOLDS)
    try:
        fit = fit_logistic(
            embedded.vectors[labelled],
            targets.labels[labelled],
            len(kind.classes),
            folds,
            warm=Logistic.from_arrays(warm.arrays) if warm else None,
        )
    except NotEnoughClasses as error:
        return Learned(None, None, None, None, str(error))
    probs = np.zeros((len(targets.ids), len(kind.classes)), dtype=np.float32)
    rest = np.flatnonzero((targets.labels < 0) & embedded.ok)
    probs[rest] = fit.head.predict_proba(embedded.vectors[rest])
    probs[labelled] = fit.oos_probs
    accuracy = float((fit.oos_probs.argmax(axis=1) == targets.labels[labelled]).mean())
    return Learned(probs, fit, folds, accuracy)
