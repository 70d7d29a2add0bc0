"""Find images that do not belong in a dataset, and tell by planted ones which method finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.neighbours import find_neighbours
from ml.outliers import OUTLIERS, make_outliers
from ml.outliers.scale import unit_rows

_LISTED = 0.5  # a row is an outlier by its method from this score on
_NEIGHBOURS = 32


@dataclass(frozen=True)
class OutlierQuality:
    """How well a method finds planted junk.

    Attributes
    ----------
    average_precision : float
        Over its ranking of all images; what a random ranking has is the share of junk.
    precision_at_junk : float
        Share of junk among as many of the farthest images as junk was planted.
    listed : int
        Images the method calls outliers.
    precision, recall : float
        Of these; the precision of none is 0.
    """

    average_precision: float
    precision_at_junk: float
    listed: int
    precision: float
    recall: float


def score_outliers(
    vectors: np.ndarray, methods: Sequence[str] = tuple(OUTLIERS), *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return each method's scores in [0, 1], shape (n,), of rows of `vectors`.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, d)
    methods : sequence of str
        Of `ml.outliers.OUTLIERS`.
    seed : int

    Raises
    ------
    ValueError
        If there is no such method.
    """
    chosen = {name: make_outliers(name) for name in methods}
    neighbours = None
    if len(vectors) > _NEIGHBOURS:
        neighbours = find_neighbours(unit_rows(vectors), _NEIGHBOURS)
    return {name: method(vectors, neighbours=neighbours, seed=seed) for name, method in chosen.items()}


def judge_outliers(scores: np.ndarray, junk: np.ndarray) -> OutlierQuality:
    """Compare a method's scores with what is known to be junk.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
    junk : ndarray of bool, shape (n,)
        At least one is.
    """
    from sklearn.metrics import average_precision_score

    farthest = np.argsort(-scores, kind="stable")[: int(junk.sum())]
    listed = scores >= _LISTED
    return OutlierQuality(
        float(average_precision_score(junk, scores)),
        float(junk[farthest].mean()),
        int(listed.sum()),
        float(junk[listed].mean()) if listed.any() else 0.0,
        float(listed[junk].mean()),
    )


def listed_rows(scores: np.ndarray) -> np.ndarray:
    """Return the rows a method calls outliers, the farthest first."""
    order = np.argsort(-scores, kind="stable")
    rows: np.ndarray = order[scores[order] >= _LISTED]
    return rows
