"""Outliers by isolation: rows that few random cuts set apart."""

from __future__ import annotations

import numpy as np

from ml.neighbours import Neighbours
from ml.outliers.scale import unit_rows

_TREES = 200
_AXES = 32


def isolation_forest(
    vectors: np.ndarray, *, neighbours: Neighbours | None = None, seed: int = 0
) -> np.ndarray:
    """Score rows by scikit-learn's `IsolationForest` (Liu, Ting and Zhou, ICDM 2008) on 32 principal axes.

    Time is linear in the number of rows; axis-parallel cuts see little in directions of small variance.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, d)
    neighbours : Neighbours, optional
        Not used; every method takes them.
    seed : int

    Returns
    -------
    ndarray of float, shape (n,)
        The anomaly score of the paper, in [0, 1]; 0.5 is its own threshold.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest

    if len(vectors) < 3:
        return np.zeros(len(vectors))
    unit = unit_rows(vectors)
    if not unit.any():
        return np.zeros(len(unit))
    axes = min(_AXES, *unit.shape)
    points = PCA(axes, svd_solver="randomized", random_state=seed).fit_transform(unit)
    forest = IsolationForest(n_estimators=_TREES, random_state=seed).fit(points)
    scores: np.ndarray = np.clip(-forest.score_samples(points), 0.0, 1.0)
    return scores
