"""Replay a labelled data set as if it were being labelled, to compare query strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.acquisition.explore import arrange, uniform_sample
from ml.heads.logistic import Logistic, NotEnoughClasses, fit_logistic

FOLDS = 3


@dataclass(frozen=True)
class Curve:
    """How accuracy grew in one campaign.

    Attributes
    ----------
    budgets : tuple of int
        Labels at each step.
    accuracy : tuple of float
        On the test rows after each step; the share of the first class where nothing could be learned yet.
    labelled : ndarray of int, shape (budgets[-1],)
        Rows of the training set, in the order they were labelled.
    """

    budgets: tuple[int, ...]
    accuracy: tuple[float, ...]
    labelled: np.ndarray

    @property
    def area(self) -> float:
        """Area under accuracy over the logarithm of the budget, divided by its width: a mean accuracy."""
        x = np.log(self.budgets)
        return float(np.trapezoid(self.accuracy, x) / (x[-1] - x[0]))


@dataclass(frozen=True)
class Step:
    """What is known within a campaign after a batch.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
        Labelled rows of the training set.
    correct : ndarray of bool, shape (m,)
        Whether the out-of-sample prediction of each agrees with its label.
    uniform : ndarray of bool, shape (m,)
        Those of the uniform sample, see `ml.acquisition.explore.uniform_sample`.
    confidence : ndarray of float, shape (m,)
        Highest out-of-sample probability of each.
    pool_confidence : ndarray of float, shape (n - m,)
        Highest probability of each row that is not labelled yet.
    accuracy : float
        On the test rows.
    """

    rows: np.ndarray
    correct: np.ndarray
    uniform: np.ndarray
    confidence: np.ndarray
    pool_confidence: np.ndarray
    accuracy: float


def replay(
    strategy: str,
    X: np.ndarray,
    y: np.ndarray,
    test_X: np.ndarray,
    test_y: np.ndarray,
    *,
    budgets: Sequence[int],
    n_classes: int,
    seed: int,
    exploration: float = 0.0,
    on_step: Callable[[Step], None] | None = None,
) -> Curve:
    """Label by a strategy, a batch for each budget, and measure a logistic head on test rows after each.

    Parameters
    ----------
    strategy : str
        Name of a strategy of `ml.acquisition.STRATEGIES`.
    X, test_X : ndarray of float, shapes (n, d), (t, d)
    y, test_y : ndarray of int, shapes (n,), (t,)
    budgets : sequence of int
        Ascending; the last at most n.
    n_classes : int
    seed : int
        Of everything drawn at random.
    exploration : float
        Share of every batch drawn at random.
    on_step : callable, optional
        Called after every step that has a model.

    Returns
    -------
    Curve
    """
    rng = np.random.default_rng(seed)
    folds = rng.integers(0, FOLDS, len(X))
    lottery = rng.random(len(X))
    labelled = np.zeros(0, dtype=np.int64)
    fitted: Logistic | None = None
    accuracy = []
    for budget in budgets:
        pool = np.setdiff1d(np.arange(len(X)), labelled)
        batch = budget - len(labelled)
        arranged = arrange(
            strategy,
            probs=None if fitted is None else fitted.head.predict_proba(X[pool]),
            X=X[pool],
            labelled_X=X[labelled],
            labelled_y=y[labelled],
            lottery=lottery[pool],
            exploration=exploration,
            head=batch,
            rng=rng,
        )
        labelled = np.concatenate([labelled, pool[arranged.order[:batch]]])
        try:
            fitted = fit_logistic(X[labelled], y[labelled], n_classes, folds[labelled], warm=fitted)
        except NotEnoughClasses:
            fitted = None
        guess = np.zeros(len(test_y)) if fitted is None else fitted.head.predict_proba(test_X).argmax(axis=1)
        accuracy.append(float((guess == test_y).mean()))
        if on_step is not None and fitted is not None:
            left = np.setdiff1d(np.arange(len(X)), labelled)
            on_step(
                Step(
                    rows=labelled,
                    correct=fitted.oos_probs.argmax(axis=1) == y[labelled],
                    uniform=uniform_sample(lottery, np.isin(np.arange(len(X)), labelled))[labelled],
                    confidence=fitted.oos_probs.max(axis=1),
                    pool_confidence=fitted.head.predict_proba(X[left]).max(axis=1),
                    accuracy=accuracy[-1],
                )
            )
    return Curve(tuple(int(budget) for budget in budgets), tuple(accuracy), labelled)
