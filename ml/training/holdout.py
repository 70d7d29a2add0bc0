"""Which labelled images a fine-tuned backbone never sees, so that it can be judged on them, now and later."""

from __future__ import annotations

import numpy as np


def hold_out(
    labels: np.ndarray, groups: np.ndarray, drawn: np.ndarray, share: float, seen: np.ndarray
) -> np.ndarray:
    """Choose the images to judge on: of every class the groups with the lowest numbers drawn.

    The numbers hang on the images alone, so that a project's next training leaves out the same ones and some of those
    that came since. A backbone is never judged on an image that it, or the one it is compared with, was trained on.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Classes.
    groups : ndarray of int, shape (n,)
        Near-duplicates have the same number; they go together. The class of a group is that of its first row.
    drawn : ndarray of float, shape (n,)
        As `ml.acquisition.explore.lottery` draws them.
    share : float
        Of the groups of each class; a class of one group is trained on.
    seen : ndarray of bool, shape (n,)
        Rows that a backbone was trained on before.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    number = np.full(len(first), np.inf)
    np.minimum.at(number, group, drawn)
    used = np.zeros(len(first), dtype=bool)
    np.logical_or.at(used, group, seen)
    held = np.zeros(len(first), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels[first] == label)
        count = 0 if len(members) < 2 else max(1, round(share * len(members)))
        free = members[~used[members]]
        held[free[np.argsort(number[free], kind="stable")][:count]] = True
    return held[group]
