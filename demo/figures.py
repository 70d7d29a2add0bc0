"""What the demo measures: planted errors found, and how much is right after a number of labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ml.folds import stable_folds
from ml.heads.logistic import fit_logistic

FOLDS = 5


@dataclass(frozen=True)
class Found:
    """How many planted errors stand among the first so many suspects.

    Attributes
    ----------
    looked_at, hits, planted : int
        Suspects counted from the top, planted errors among them, planted errors at all.
    """

    looked_at: int
    hits: int
    planted: int

    @property
    def precision(self) -> float:
        """Share of the looked-at tasks that are planted errors, in [0, 1]."""
        return self.hits / self.looked_at if self.looked_at else 0.0

    @property
    def recall(self) -> float:
        """Share of the planted errors that are among the looked-at tasks, in [0, 1]."""
        return self.hits / self.planted if self.planted else 0.0


def found(order: Sequence[int], planted: Collection[int], top: int | None = None) -> Found:
    """Count planted errors among the first ``top`` of ``order``; among all without it."""
    head = order[:top]
    return Found(len(head), sum(item in planted for item in head), len(planted))


def share_right(labels: Sequence[str], truth: Sequence[str]) -> float:
    """Return the share of labels that are right, in [0, 1]; 0 without labels."""
    return sum(a == b for a, b in zip(labels, truth, strict=True)) / len(truth) if truth else 0.0


@dataclass(frozen=True)
class Pool:
    """Images to label from, and the labels there are at the start.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
    keys : list of str, length n
        Content digest of each image; decides its fold.
    truth : ndarray of int, shape (n,)
        Right class of each image.
    start : ndarray of int, shape (n,)
        Class given at the start, wrong ones included; -1 without a label.
    n_classes : int
    """

    X: np.ndarray
    keys: list[str]
    truth: np.ndarray
    start: np.ndarray
    n_classes: int


def random_order(
    pool: Pool, rounds: Sequence[int], seed: int, progress: Callable[[], None] = lambda: None
) -> list[float]:
    """Return what a team gets that labels in random order, with the learner that Lineup uses.

    Parameters
    ----------
    rounds : sequence of int
        Numbers of labels at which to measure, ascending, beside those at the start.

    Returns
    -------
    list of float
        Share of the images without a label at the start for which the team has the right class after so many
        labels: its own label where there is one, else the prediction. In [0, 1].
    """
    rng = np.random.default_rng(seed)
    unlabelled = np.flatnonzero(pool.start < 0)
    order = rng.permutation(unlabelled)
    labels, shares, fit = pool.start.copy(), [], None
    for count in rounds:
        labels[order[:count]] = pool.truth[order[:count]]
        rows = np.flatnonzero(labels >= 0)
        folds = stable_folds([pool.keys[row] for row in rows.tolist()], FOLDS)
        fit = fit_logistic(pool.X[rows], labels[rows], pool.n_classes, folds, warm=fit)
        rest = np.flatnonzero(labels < 0)
        right = int((fit.head.predict_proba(pool.X[rest]).argmax(axis=1) == pool.truth[rest]).sum())
        shares.append((count + right) / len(unlabelled))
        progress()
    return shares
