"""What vectors say of images without any label: which show the same thing, and which lie apart from all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.outliers import make_outliers
from ml.space import Space, make_space, row_ids

_AXES = 128
_NEIGHBOURS = 32
_FEWEST = 20  # with fewer rows every one is far from most of its ten nearest


@dataclass(frozen=True)
class Survey:
    """Near-duplicates and outliers among images.

    Attributes
    ----------
    method : str or None
        One of `ml.outliers.OUTLIERS`; None: outliers are not looked for.
    space : Space
        Kept for the next survey.
    outlier : ndarray of float, shape (n,)
        Scores of the method, in [0, 1]; zero without one, and with fewer than 20 rows.
    """

    method: str | None
    space: Space
    outlier: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """Number of each row's group of near-duplicates, int64 of shape (n,)."""
        return self.space.groups

    def covers(self, keys: Sequence[str], method: str | None) -> bool:
        """Tell whether it is of exactly these rows, by this method."""
        return method == self.method and np.array_equal(row_ids(keys), self.space.ids)


def make_survey(
    keys: Sequence[str], X: np.ndarray, method: str | None, *, warm: Survey | None = None
) -> Survey:
    """Look for near-duplicates and outliers.

    Both come from one search for neighbours on the 128 leading axes. With ``warm`` only what is new is
    searched for; outliers are then scored anew.

    Parameters
    ----------
    keys : sequence of str, length n
        Content digests: the same key means the same vector.
    X : ndarray of float32, shape (n, d)
    method : str or None
        One of `ml.outliers.OUTLIERS`.
    warm : Survey, optional
        Of an earlier set of rows of the same embedder.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    score = make_outliers(method) if method is not None else None
    space = make_space(
        keys,
        X,
        warm=warm.space if warm else None,
        n_neighbours=min(_NEIGHBOURS, max(len(keys) - 1, 1)),
        rank=_AXES,
    )
    if score is None or len(keys) < _FEWEST:
        return Survey(method, space, np.zeros(len(keys)))
    return Survey(method, space, score(space.Z, neighbours=space.neighbours))


def members_of(groups: np.ndarray) -> list[np.ndarray]:
    """Return the rows of every group of near-duplicates that has more than one.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0))
    return [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
