"""Rows with identical content: where their labels differ, at least one is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def find_copies(keys: Sequence[str]) -> np.ndarray:
    """Return the first row with each row's key, int64 of shape (n,)."""
    first: dict[str, int] = {}
    return np.fromiter(
        (first.setdefault(key, row) for row, key in enumerate(keys)), dtype=np.int64, count=len(keys)
    )


def find_outvoted(labels: np.ndarray, own: np.ndarray, copies: np.ndarray) -> list[int]:
    """Return the rows whose label most of their copies do not have; in a draw, all but the most probable one.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    own : ndarray of float, shape (n,)
        How probable each row's label is.
    copies : ndarray of int, shape (n,)
        Of `find_copies`.
    """
    size = np.bincount(copies, minlength=len(copies))
    rows_of: dict[int, list[int]] = {}
    for row in np.flatnonzero(size[copies] > 1).tolist():
        rows_of.setdefault(int(copies[row]), []).append(row)
    outvoted: list[int] = []
    for rows in rows_of.values():
        given, which, votes = np.unique(labels[rows], return_inverse=True, return_counts=True)
        if len(given) < 2:
            continue
        probable = np.bincount(which, weights=own[rows]) / votes
        winner = given[np.lexsort((probable, votes))[-1]]
        outvoted += [row for row in rows if labels[row] != winner]
    return outvoted
