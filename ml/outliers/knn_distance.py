"""Outliers by the distance to the nearest neighbours."""

from __future__ import annotations

import numpy as np

from ml.neighbours import Neighbours, find_neighbours
from ml.outliers.scale import tukey_score, unit_rows

_NEAREST = 10


def knn_distance(vectors: np.ndarray, *, neighbours: Neighbours | None = None, seed: int = 0) -> np.ndarray:
    """Score rows by their average distance to their ten nearest others (Kuan and Mueller, arXiv 2207.03061).

    Needs no labels and no model; finds single strangers, but not a group of them that keep each other company.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, d)
    neighbours : Neighbours, optional
        Of these rows, where they are known already.
    seed : int
        Not used; every method takes one.

    Returns
    -------
    ndarray of float, shape (n,)
        In [0, 1]; 0.5 at one and a half interquartile ranges above the upper quartile of distances.
    """
    if len(vectors) < 3:
        return np.zeros(len(vectors))
    if neighbours is None:
        neighbours = find_neighbours(unit_rows(vectors), min(_NEAREST, len(vectors) - 1))
    near = neighbours.index[:, :_NEAREST] >= 0
    distance = np.sqrt(np.maximum(2.0 - 2.0 * neighbours.similarity[:, :_NEAREST].astype(np.float64), 0.0))
    return tukey_score((distance * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1))
