"""Suspicion of single-choice labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cleanlab.rank import get_label_quality_scores

DISAGREES = "model disagrees"
DUPLICATE = "duplicate labelled differently"
TOO_FEW = "not enough labels"

# at 0.5 another class is as probable as the label
EVEN = 0.5


@dataclass(frozen=True)
class Judgement:
    """What a model makes of labels; all arrays are in the order of the labels given.

    Attributes
    ----------
    suspicion : ndarray of float, shape (n,)
        In [0, 1]; above 0.5 another class is more probable than the label.
    suggestion : ndarray of int, shape (n,)
        The most probable class.
    confidence : ndarray of float, shape (n,)
        Its probability, in [0, 1].
    reason : list of str, length n
        Why a label is suspect, or why it cannot be judged; empty where nothing is wrong.
    """

    suspicion: np.ndarray
    suggestion: np.ndarray
    confidence: np.ndarray
    reason: list[str]


def judge(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    keys: Sequence[str] | None = None,
    folds: np.ndarray | None = None,
) -> Judgement:
    """Judge labels by out-of-sample probabilities.

    Suspicion is one minus cleanlab's normalised margin (Northcutt et al., arXiv 1911.00068; Kuan and Mueller,
    ICML DataPerf 2022): half of one plus the best other class's probability minus the label's.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Classes in [0, K).
    probs : ndarray of float, shape (n, K)
        Rows sum to 1; each predicted without its own label.
    keys : sequence of str, length n, optional
        Content digests. Where the same content has different labels, those outvoted by its copies (in a draw:
        less probable) are at least at 0.5.
    folds : ndarray of int, shape (n,), optional
        The folds ``probs`` were predicted by. A label whose class has no example in the other folds cannot be
        judged: its suspicion stays below 0.5.
    """
    labels = np.asarray(labels, dtype=np.int64)
    probs = np.asarray(probs, dtype=np.float64)
    if not len(labels):
        return Judgement(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0), [])
    probs = probs / probs.sum(axis=1, keepdims=True)
    suspicion = 1.0 - get_label_quality_scores(labels, probs, method="normalized_margin")
    suggestion = probs.argmax(axis=1)
    reason = np.where((suspicion >= EVEN) & (suggestion != labels), DISAGREES, "").astype(object)
    if folds is not None:
        unknown = _unseen(labels, np.asarray(folds), probs.shape[1])
        suspicion[unknown] = np.minimum(suspicion[unknown], np.nextafter(EVEN, 0.0))
        reason[unknown] = TOO_FEW
    if keys is not None:
        outvoted, contested = _contested(labels, probs, keys)
        suspicion[outvoted] = np.maximum(suspicion[outvoted], EVEN)
        reason[contested] = DUPLICATE
    return Judgement(np.clip(suspicion, 0.0, 1.0), suggestion, probs.max(axis=1), reason.tolist())


def _unseen(labels: np.ndarray, folds: np.ndarray, n_classes: int) -> np.ndarray:
    """Mask of labels whose class occurs in their own fold only."""
    counts = np.zeros((n_classes, int(folds.max()) + 1), dtype=np.int64)
    np.add.at(counts, (labels, folds), 1)
    unseen: np.ndarray = counts[labels].sum(axis=1) == counts[labels, folds]
    return unseen


def _contested(labels: np.ndarray, probs: np.ndarray, keys: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows whose label is outvoted by identical content, and all rows of content with several labels."""
    rows_of: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    outvoted: list[int] = []
    contested: list[int] = []
    for rows in rows_of.values():
        if len(rows) < 2 or len(given := np.unique(labels[rows])) < 2:
            continue
        votes = np.array([(labels[rows] == label).sum() for label in given])
        winner = given[np.lexsort((probs[rows].mean(axis=0)[given], votes))[-1]]
        contested += rows
        outvoted += [row for row in rows if labels[row] != winner]
    return outvoted, contested
