"""How far an image lies from the others. One method a module, one registry line each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.outliers.dbscan import dbscan
from ml.outliers.isolation_forest import isolation_forest
from ml.outliers.knn_distance import knn_distance

__all__ = ["OUTLIERS", "dbscan", "isolation_forest", "knn_distance", "make_outliers"]

OUTLIERS: dict[str, Callable[..., np.ndarray]] = {
    "knn_distance": knn_distance,
    "isolation_forest": isolation_forest,
    "dbscan": dbscan,
}


def make_outliers(name: str) -> Callable[..., np.ndarray]:
    """Return a method by name: it gives a score in [0, 1] a row, 1 the farthest out.

    A method is called as ``method(vectors, neighbours=None, seed=0)``, with `ml.neighbours.Neighbours` of these
    rows where they are known already. A row is an outlier by its method when its score is at least 0.5.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in OUTLIERS:
        raise ValueError(f"no outlier method {name!r}: there are {', '.join(OUTLIERS)}")
    return OUTLIERS[name]
