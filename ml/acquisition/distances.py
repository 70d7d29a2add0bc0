"""Euclidean distances between vectors."""

from __future__ import annotations

import numpy as np


def squared_norms(rows: np.ndarray) -> np.ndarray:
    """Return the squared norm of each row, shape (n,)."""
    return np.einsum("nd,nd->n", rows, rows)


def distances_to(rows: np.ndarray, squares: np.ndarray, index: int) -> np.ndarray:
    """Return the distance of each row to one of them, shape (n,).

    What rounding makes of the distance of equal vectors counts as zero.

    Parameters
    ----------
    rows : ndarray of float, shape (n, d)
    squares : ndarray of float, shape (n,)
        Squared norms of the rows.
    index : int
        The row to measure from.
    """
    point, own = rows[index], float(squares[index])
    squared = squares + own - 2.0 * (rows @ point)
    squared[squared < 1e-6 * (squares + own)] = 0.0
    return np.sqrt(squared)


def squared_distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared distances, shape (n, c), between rows of shape (n, d) and centres of shape (c, d)."""
    squared = squared_norms(rows)[:, None] + squared_norms(centres)
    squared -= 2.0 * (rows @ centres.T)
    return np.maximum(squared, 0.0)
