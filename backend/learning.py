"""Learn a head from the labelled tasks and say what it makes of every task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.embedding import Embedded
from backend.labelstudio.choices import ChoicesKind
from backend.registry import Version
from backend.targets import Targets
from ml.heads.ensemble import Ensemble, NotEnoughClasses, fit_ensemble
from ml.heads.head import Head


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes
    ----------
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of every task, out-of-sample for labelled ones; zero without a vector. None: no head.
    fit : Ensemble or None
        The head, and what its members say of the labelled tasks with a vector.
    accuracy : float or None
        Share of labelled tasks whose label the out-of-sample prediction agrees with, in [0, 1].
    why_not : str or None
        Why there is no head.
    """

    probs: np.ndarray | None
    fit: Ensemble | None
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


def learn(targets: Targets, embedded: Embedded, kind: ChoicesKind, *, warm: Ensemble | None) -> Learned:
    """Fit the head of a single-choice project.

    Parameters
    ----------
    warm : Ensemble or None
        An earlier fit over the same classes and vectors to start from.
    """
    labelled = np.flatnonzero((targets.labels >= 0) & embedded.ok)
    keys = [str(embedded.keys[row]) for row in labelled.tolist()]
    try:
        fit = fit_ensemble(
            embedded.vectors[labelled], targets.labels[labelled], len(kind.classes), keys, warm=warm
        )
    except NotEnoughClasses as error:
        return Learned(None, None, None, str(error))
    probs = np.zeros((len(targets.ids), len(kind.classes)), dtype=np.float32)
    rest = np.flatnonzero((targets.labels < 0) & embedded.ok)
    probs[rest] = fit.head.predict_proba(embedded.vectors[rest])
    probs[labelled] = fit.oos_probs
    accuracy = float((fit.oos_probs.argmax(axis=1) == targets.labels[labelled]).mean())
    return Learned(probs, fit, accuracy)
