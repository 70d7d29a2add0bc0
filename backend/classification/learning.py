"""Learn a head from the labelled tasks and say what it makes of every task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backend.embedding import Embedded
from backend.labelstudio.kind import Kind
from backend.registry import Version
from backend.targets import Targets
from ml.heads.logistic import NotEnoughClasses
from ml.learners import Fit, Learner, find_learner


@dataclass(frozen=True)
class Classified:
    """What was learned, and what it makes of every task.

    Attributes
    ----------
    kind : Kind
    learner : Learner
        Of the project's kind.
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of every task, out-of-sample for labelled ones; zero without a vector. None: no head.
    fit : Fit or None
        The head, and what its members say of the labelled tasks with a vector.
    accuracy : float or None
        Share of labelled tasks whose label the out-of-sample prediction agrees with, in [0, 1]; of class sets,
        in every class.
    why_not : str or None
        Why there is no head.
    """

    kind: Kind
    learner: Learner[Any]
    probs: np.ndarray | None
    fit: Fit | None
    accuracy: float | None
    why_not: str | None = None

    def served_by(self, version: Version, targets: Targets, embedded: Embedded) -> Classified:
        """Return the same with the unlabelled tasks predicted by a published version."""
        if self.probs is None:
            return self
        rows = np.flatnonzero(~targets.labelled & embedded.ok)
        probs = self.probs.copy()
        probs[rows] = self.learner.serve(version.arrays).predict_proba(embedded.vectors[rows])
        return replace(self, probs=probs)

    def question(self, rows: np.ndarray) -> np.ndarray | None:
        """Return what query strategies are given of tasks, see `ml.learners.Learner`; None without a head."""
        return None if self.probs is None else self.learner.question(self.probs[rows])

    def answers(self, labels: np.ndarray) -> np.ndarray | None:
        """Return the class of each label, where one says it."""
        return self.learner.answers(labels)

    def guesses(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Return the most probable label of tasks as text, and its confidence in [0, 1]."""
        decided, confidence = self._decided(rows)
        return [self.kind.text(label) for label in decided], confidence

    def results(self, rows: np.ndarray) -> list[list[dict[str, Any]]]:
        """Return the predictions of tasks as Label Studio results; empty without a head."""
        if self.probs is None:
            return [[] for _ in rows]
        decided, confidence = self._decided(rows)
        return [
            self.kind.result(label, sure) for label, sure in zip(decided, confidence.tolist(), strict=True)
        ]

    def _decided(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.probs is None:
            raise ValueError("without a head nothing is predicted")
        return self.learner.decide(self.probs[rows])


def learn(targets: Targets, embedded: Embedded, kind: Kind, *, warm: Fit | None) -> Classified:
    """Fit the head of a project.

    Parameters
    ----------
    warm : Fit or None
        An earlier fit over the same classes and vectors to start from.
    """
    labelled = np.flatnonzero(targets.labelled & embedded.ok)
    keys = [str(embedded.keys[row]) for row in labelled.tolist()]
    learner, given = find_learner(kind.name), targets.labels[labelled]
    try:
        fit = learner.fit(embedded.vectors[labelled], given, len(kind.classes), keys, warm=warm)
    except NotEnoughClasses as error:
        return Classified(kind, learner, None, None, None, str(error))
    probs = np.zeros((len(targets.ids), len(kind.classes)), dtype=np.float32)
    rest = np.flatnonzero(~targets.labelled & embedded.ok)
    probs[rest] = fit.head.predict_proba(embedded.vectors[rest])
    probs[labelled] = fit.oos_probs
    decided, _ = learner.decide(fit.oos_probs)
    return Classified(kind, learner, probs, fit, float(agrees(decided, given).mean()))


def agrees(decided: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return which rows of two arrays of labels are the same, class sets in every class; bool of shape (n,)."""
    same: np.ndarray = np.equal(decided, given).reshape(len(given), -1).all(axis=1)
    return same
