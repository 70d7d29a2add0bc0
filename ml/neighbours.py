"""Nearest neighbours among vectors, updated as rows come and go, and groups of near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

N_NEIGHBOURS = 50
_EXACT_ROWS = 12_000  # up to here a flat search is as quick as an approximate one
_LIST_ROWS = 160  # rows of an inverted list, about
_PROBES = 14
_TRAIN_ROWS = 10_000
_CLOSE = 0.13  # of the typical distance to the nearest neighbour (cleanlab's Datalab)
_EQUAL = 1e-3  # distances of unit vectors that half-precision storage cannot tell from zero


@dataclass(frozen=True)
class Neighbours:
    """Each row's nearest others.

    Attributes
    ----------
    index : ndarray of int32, shape (n, k)
        Rows, nearest first, never the row itself; -1 where there are fewer.
    similarity : ndarray of float32, shape (n, k)
        Cosines, in [-1, 1]; -1 where ``index`` is.
    """

    index: np.ndarray
    similarity: np.ndarray


def find_neighbours(points: np.ndarray, k: int = N_NEIGHBOURS) -> Neighbours:
    """Find each row's nearest others among unit vectors.

    Exact up to 12,000 rows, by inverted lists above (faiss, `IndexIVFFlat`).

    Parameters
    ----------
    points : ndarray of float32, shape (n, r)
        Rows of norm 1.
    k : int
        Neighbours a row.
    """
    index, similarity = _search(points, points, k + 1)
    return _without_self(index, similarity, np.arange(len(points)), k)


def update_neighbours(old: Neighbours, source: np.ndarray, points: np.ndarray) -> Neighbours:
    """Return what `find_neighbours` would, from an earlier answer and the rows that changed.

    Parameters
    ----------
    old : Neighbours
        Of the earlier rows.
    source : ndarray of int, shape (n,)
        For each row now its number among the earlier rows, -1 for a new one.
    points : ndarray of float32, shape (n, r)
        Unit vectors now; those of kept rows unchanged.
    """
    n, k = len(points), old.index.shape[1]
    kept = np.flatnonzero(source >= 0)
    new = np.flatnonzero(source < 0)
    position = np.full(len(old.index) + 1, -1, dtype=np.int32)
    position[source[kept]] = kept
    index = np.full((n, k), -1, dtype=np.int32)
    similarity = np.full((n, k), -1.0, dtype=np.float32)
    index[kept] = position[old.index[source[kept]]]
    similarity[kept] = old.similarity[source[kept]]
    lost = kept[((index[kept] < 0) & (old.index[source[kept]] >= 0)).any(axis=1)]
    rest = np.setdiff1d(kept, lost, assume_unique=True)
    if len(new):
        among, close = _top(points[rest] @ points[new].T, min(k, len(new)))
        _merge(index, similarity, rest, new[among].astype(np.int32), close)
    again = np.concatenate([new, lost])
    if len(again):
        found, near = _search(points, points[again], k + 1)
        fresh = _without_self(found, near, again, k)
        index[again], similarity[again] = fresh.index, fresh.similarity
    return Neighbours(index, similarity)


def near_duplicates(neighbours: Neighbours) -> np.ndarray:
    """Group rows that show the same thing.

    Two rows are near-duplicates when their distance is below 0.13 of the median distance to the nearest
    neighbour (the rule of cleanlab's Datalab); groups are the connected components.

    Returns
    -------
    ndarray of int64, shape (n,)
        The lowest row of each row's group; its own number where it has no near-duplicate.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(neighbours.index)
    if n < 2:
        return np.arange(n)
    distance = np.sqrt(np.maximum(2.0 - 2.0 * neighbours.similarity, 0.0))
    nearest = distance[:, 0]
    apart = nearest[nearest > _EQUAL]
    radius = max(_CLOSE * float(np.median(apart)), _EQUAL) if len(apart) else _EQUAL
    row, column = np.nonzero((distance < radius) & (neighbours.index >= 0))
    graph = coo_matrix((np.ones(len(row), dtype=bool), (row, neighbours.index[row, column])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    groups: np.ndarray = first[component]
    return groups


def _search(points: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    n, r = points.shape
    points = np.ascontiguousarray(points, dtype=np.float32)
    index: Any = faiss.IndexFlatIP(r)
    if n > _EXACT_ROWS and len(queries) * 8 > n:
        index = faiss.IndexIVFFlat(index, r, max(1, n // _LIST_ROWS), faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = 6
        index.cp.seed = 0
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = 64
        index.train(points[np.random.default_rng(0).permutation(n)[:_TRAIN_ROWS]])
        index.nprobe = _PROBES
    index.add(points)
    similarity, found = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    return found.astype(np.int32), np.where(found < 0, -1.0, similarity).astype(np.float32)


def _without_self(index: np.ndarray, similarity: np.ndarray, rows: np.ndarray, k: int) -> Neighbours:
    """Drop each row from its own list, or the last where it was crowded out by equal ones."""
    own = index == rows[:, None]
    own[~own.any(axis=1), -1] = True
    keep = ~own
    shape = (len(index), k)
    return Neighbours(index[keep].reshape(shape), np.clip(similarity[keep], -1.0, 1.0).reshape(shape))


def _top(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    columns = np.argpartition(-values, k - 1, axis=1)[:, :k]
    return columns, np.take_along_axis(values, columns, axis=1)


def _merge(
    index: np.ndarray, similarity: np.ndarray, rows: np.ndarray, candidates: np.ndarray, close: np.ndarray
) -> None:
    """Let candidates into the lists of the rows they are near to."""
    changed = (close > similarity[rows, -1:]).any(axis=1)
    rows, k = rows[changed], index.shape[1]
    both = np.concatenate([similarity[rows], close[changed]], axis=1)
    names = np.concatenate([index[rows], candidates[changed]], axis=1)
    order = np.argsort(-both, axis=1, kind="stable")[:, :k]
    similarity[rows] = np.take_along_axis(both, order, axis=1)
    index[rows] = np.take_along_axis(names, order, axis=1)
