"""Outliers by density: rows that belong to no cluster."""

from __future__ import annotations

import numpy as np

from ml.neighbours import Neighbours, find_neighbours
from ml.outliers.scale import unit_rows

_CORE = 5  # rows, itself included, that make a neighbourhood dense
_EDGES = 32  # neighbours a row is linked to at most, so that memory is linear in the number of rows
_QUANTILE = 0.9  # share of rows the radius makes dense


def dbscan(
    vectors: np.ndarray, *, neighbours: Neighbours | None = None, radius: float | None = None, seed: int = 0
) -> np.ndarray:
    """Score rows by scikit-learn's `DBSCAN` (Ester et al., KDD 1996) on a neighbour graph.

    Finds small groups of strangers too, which a distance to neighbours does not. One radius for all clusters:
    where their densities differ, it calls the loosest one noise.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, d)
    neighbours : Neighbours, optional
        Of these rows, where they are known already; at least five.
    radius : float, optional
        Between unit vectors; default: the distance to the fifth row within which 90 % of rows have it.
    seed : int
        Not used; every method takes one.

    Returns
    -------
    ndarray of float, shape (n,)
        1 for noise; else the distance to the fifth row relative to the radius, at most 0.49.
    """
    from scipy.sparse import csr_matrix
    from sklearn.cluster import DBSCAN

    n = len(vectors)
    if n <= _CORE:
        return np.zeros(n)
    if neighbours is None:
        neighbours = find_neighbours(unit_rows(vectors), min(_EDGES, n - 1))
    distance = np.sqrt(np.maximum(2.0 - 2.0 * neighbours.similarity.astype(np.float64), 0.0))
    reach = distance[:, _CORE - 2]
    if radius is None:
        radius = max(float(np.quantile(reach, _QUANTILE)), 1e-6)
    row, column = np.nonzero((distance <= radius) & (neighbours.index >= 0))
    edges = np.maximum(distance[row, column], 1e-12)
    graph = csr_matrix((edges, (row, neighbours.index[row, column])), shape=(n, n))
    graph = graph.maximum(graph.T).tocsr()
    cluster = DBSCAN(eps=radius, min_samples=_CORE, metric="precomputed").fit_predict(graph)
    return np.where(cluster < 0, 1.0, np.minimum(0.49, 0.49 * reach / radius))
