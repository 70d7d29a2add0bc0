"""Labels as they were before people reviewed them."""

from __future__ import annotations

import numpy as np


def before_review(
    labels: np.ndarray, reviewed: np.ndarray | None, before: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put reviewed labels back to what they were: how people err is learned from labels as they gave them.

    Parameters
    ----------
    labels : ndarray of int, shape (n,), or of bool, shape (n, K)
    reviewed : ndarray of bool, shape (n,), or None
    before : ndarray of int, of the shape of ``labels``, or None
        -1 where it is not known.

    Returns
    -------
    checked : ndarray of bool, shape (n,)
        Labels a person has reviewed.
    known : ndarray of int, shape (m,)
        Rows of those of which it is known what they were.
    given : ndarray of the type and shape of ``labels``
    """
    checked = np.zeros(len(labels), dtype=bool) if reviewed is None else np.asarray(reviewed, dtype=bool)
    if before is None:
        return checked, np.zeros(0, dtype=np.int64), labels
    before = np.asarray(before)
    known = np.flatnonzero(checked & (before.reshape(len(labels), -1) >= 0).all(axis=1))
    given = labels.copy()
    given[known] = before[known]
    return checked, known, given
