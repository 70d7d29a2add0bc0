"""What is said of labels that were judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.suspicion.calibration import Calibration


@dataclass(frozen=True)
class Judgement:
    """What a model makes of labels; all arrays are in the order of the labels given.

    Attributes
    ----------
    suspicion : ndarray of float, shape (n,)
        Probability that the label is wrong, in [0, 1].
    suggestion : ndarray of int, shape (n,)
        The most probable class.
    confidence : ndarray of float, shape (n,)
        Its probability, in [0, 1].
    reason : list of str, length n
        Why a label is worth a look, or why it cannot be judged; empty where nothing is wrong.
    twin : ndarray of int, shape (n,)
        A near-duplicate with another label, by row; -1 where there is none.
    threshold : float
        The suspicion from which to review, in (0, 1].
    suspect : ndarray of bool, shape (n,)
        At or above it, and not reviewed.
    expected_wrong : float
        Expected number of wrong labels among those not reviewed.
    calibration : Calibration or None
        None where there are no labels.
    """

    suspicion: np.ndarray
    suggestion: np.ndarray
    confidence: np.ndarray
    reason: list[str]
    twin: np.ndarray
    threshold: float
    suspect: np.ndarray
    expected_wrong: float
    calibration: Calibration | None


@dataclass(frozen=True)
class MultiJudgement(Judgement):
    """The same for class sets: wrong is a set with any class wrongly given or missing.

    Attributes
    ----------
    class_suspicion : ndarray of float, shape (n, K)
        Probability that each class is wrongly given or missing.
    suggestion : ndarray of bool, shape (n, K)
        The classes more probable than not.
    confidence : ndarray of float, shape (n,)
        Probability of the least certain class decision of the suggestion, in [0.5, 1].
    """

    class_suspicion: np.ndarray
