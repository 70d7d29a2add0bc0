"""Why a label is worth a look: one reason a task, the most telling one."""

from __future__ import annotations

import numpy as np

DUPLICATE = "duplicate labelled differently"
ANNOTATORS = "annotators disagree"
DISAGREES = "model disagrees"
NEIGHBOURS = "neighbours disagree"
OUTLIER = "outlier"
NEAR_DUPLICATE = "image near-duplicate"
TOO_FEW = "not enough labels"

_AGREEMENT = 0.5  # at least half of the other annotations should be the same
_SUPPORT = 0.2  # of the neighbours' posterior
_OUT = 0.5


def find_twins(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return for each row a near-duplicate with another label, int64 of shape (n,); -1 where there is none.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    groups : ndarray of int, shape (n,)
        Rows with the same number are near-duplicates.
    """
    twins = np.full(len(labels), -1, dtype=np.int64)
    order = np.lexsort((labels, groups))
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0)) if len(order) else order
    ends = np.append(starts[1:], len(order))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        rows = order[start:end]
        first, last = rows[0], rows[-1]  # sorted by label: if any differ, these do
        if labels[first] != labels[last]:
            twins[rows] = np.where(labels[rows] == labels[first], last, first)
    return twins


def choose_reasons(
    suspect: np.ndarray,
    disagrees: np.ndarray,
    twins: np.ndarray,
    *,
    unseen: np.ndarray | None = None,
    neighbour_label: np.ndarray | None = None,
    neighbour_support: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    agreement: np.ndarray | None = None,
    outlier: np.ndarray | None = None,
    image: list[str] | None = None,
    groups: np.ndarray | None = None,
    model: list[str] | None = None,
) -> list[str]:
    """Return one reason a row, or ``''``.

    In this order: too few labels to judge; a duplicate labelled differently; annotators who disagree; then, for
    suspect rows, the model, else the neighbours; what is wrong with the image; an outlier; and last that there
    is a near-duplicate with the same label.

    Parameters
    ----------
    suspect, disagrees : ndarray of bool, shape (n,)
        Above the review threshold; another class is more probable than the label.
    twins : ndarray of int, shape (n,)
        Of `find_twins`.
    agreement : ndarray of float, shape (n,), optional
        Share of a row's other annotations with the same label; NaN where there is only one.
    outlier : ndarray of float, shape (n,), optional
        Scores of `ml.outliers`.
    image : list of str, length n, optional
        Of `ml.quality.judge_images`.
    model : list of str, length n, optional
        What the model has against each row, where it can tell. Default: that it disagrees.
    """
    reason = np.full(len(suspect), "", dtype=object)

    def give(name: str, rows: np.ndarray) -> None:
        reason[rows & (reason == "")] = name

    def give_each(names: list[str], rows: np.ndarray) -> None:
        free = rows & (reason == "")
        reason[free] = np.array(names, dtype=object)[free]

    if unseen is not None:
        give(TOO_FEW, unseen)
    give(DUPLICATE, twins >= 0)
    if agreement is not None:
        with np.errstate(invalid="ignore"):
            give(ANNOTATORS, np.asarray(agreement, dtype=np.float64) < _AGREEMENT)
    against = np.zeros(len(suspect), dtype=bool)
    if neighbour_label is not None and neighbour_support is not None and labels is not None:
        against = (neighbour_label != labels) & (neighbour_support < _SUPPORT)
    give(NEIGHBOURS, suspect & against & ~disagrees)
    if model is not None:
        give_each(model, suspect)
    give(DISAGREES, suspect)
    if image is not None:
        give_each(image, np.ones(len(suspect), dtype=bool))
    if outlier is not None:
        give(OUTLIER, np.asarray(outlier) >= _OUT)
    if groups is not None:
        _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
        give(NEAR_DUPLICATE, size[number] > 1)
    return list(reason.tolist())
