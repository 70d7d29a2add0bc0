"""Assign rows to folds by content."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


def stable_folds(keys: Sequence[str], n_folds: int) -> np.ndarray:
    """Assign each row a fold by the hash of its key.

    A row keeps its fold whatever is added or removed, so a model warm-started from an earlier one has never
    seen the rows held out from it; rows with the same content share a fold, so a duplicate cannot vouch for
    its twin.

    Parameters
    ----------
    keys : sequence of str, length n
        Content digests.
    n_folds : int
        At least 2.

    Returns
    -------
    ndarray of int64, shape (n,)
        Fold of each row, in [0, n_folds).

    Raises
    ------
    ValueError
        If ``n_folds`` is less than 2.
    """
    if n_folds < 2:
        raise ValueError(f"n_folds must be at least 2, got {n_folds}")
    digests = (blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.fromiter(
        (int.from_bytes(digest, "big") % n_folds for digest in digests), dtype=np.int64, count=len(keys)
    )


def grouped_folds(keys: Sequence[str], groups: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign folds as `stable_folds` does, with the rows of a group together in one.

    A group has the fold of its smallest key, so it keeps its fold unless a row with a smaller one joins.

    Parameters
    ----------
    keys : sequence of str, length n
    groups : ndarray of int, shape (n,)
        Rows with the same number belong together.
    n_folds : int
        At least 2.
    """
    return stable_folds(first_keys(keys, groups), n_folds)


def first_keys(keys: Sequence[str], groups: np.ndarray) -> list[str]:
    """Return of each row the smallest key of its group; arguments are those of `grouped_folds`."""
    numbers = np.asarray(groups).tolist()
    first: dict[int, str] = {}
    for number, key in zip(numbers, keys, strict=True):
        first[number] = min(first.get(number, key), key)
    return [first[number] for number in numbers]
