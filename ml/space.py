"""What can be known of vectors before their labels: leading axes, neighbours, near-duplicates. Kept between fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ml.heads.basis import Basis, leading_basis, project
from ml.neighbours import N_NEIGHBOURS, Neighbours, find_neighbours, near_duplicates, update_neighbours

RANK = 384  # more axes gained less than 0.003 of average precision
_NEIGHBOUR_AXES = 128
_BASIS_ROWS = 10_000
_REGROW = 1.25  # times as many rows: the axes are found anew
_REBUILD = 0.2  # share of changed rows above which searching anew is quicker


@dataclass(frozen=True)
class Space:
    """Rows of vectors, seen without labels.

    Attributes
    ----------
    ids : ndarray of uint64, shape (n,)
        Digest of each row's key; repeated keys are told apart.
    basis : Basis
        Of the leading axes.
    n_fitted : int
        Rows there were when the axes were found.
    Z : ndarray of float32, shape (n, r)
        Coordinates, by falling variance.
    neighbours : Neighbours
    groups : ndarray of int64, shape (n,)
        The lowest row of each row's group of near-duplicates.
    """

    ids: np.ndarray
    basis: Basis
    n_fitted: int
    Z: np.ndarray
    neighbours: Neighbours
    groups: np.ndarray


def make_space(
    keys: Sequence[str],
    X: np.ndarray,
    *,
    warm: Space | None = None,
    n_neighbours: int = N_NEIGHBOURS,
    rank: int = RANK,
) -> Space:
    """Describe vectors, reusing what is known of the rows seen before.

    Parameters
    ----------
    keys : sequence of str, length n
        Content digests: the same key means the same vector.
    X : ndarray of float32, shape (n, d)
        Vectors. Only those of new rows are read where ``warm`` still holds.
    warm : Space, optional
        Of an earlier set of rows; ignored where the vectors have other dimensions or the rows have grown by a
        quarter.
    n_neighbours : int
        Neighbours of each row.
    rank : int
        Axes, at most.
    """
    ids = row_ids(keys)
    if not len(ids):
        return _nothing(ids, X.shape[1], n_neighbours)
    if warm is not None and (
        not warm.n_fitted
        or len(warm.basis.mean) != X.shape[1]
        or not 1 / _REGROW <= len(ids) / max(warm.n_fitted, 1) <= _REGROW
    ):
        warm = None
    if warm is None:
        step = max(1, -(-len(X) // _BASIS_ROWS))
        basis = leading_basis(np.asarray(X[::step], dtype=np.float32), rank)
        Z = project(X, basis)
        neighbours = find_neighbours(_points(Z), n_neighbours)
        return Space(ids, basis, len(ids), Z, neighbours, near_duplicates(neighbours))
    if np.array_equal(ids, warm.ids):
        return warm
    source = _source(ids, warm.ids)
    new = np.flatnonzero(source < 0)
    Z = warm.Z[np.maximum(source, 0)]
    Z[new] = project(X[new], warm.basis)
    if len(new) > _REBUILD * len(ids) or (source >= 0).sum() < (1 - _REBUILD) * len(warm.ids):
        neighbours = find_neighbours(_points(Z), n_neighbours)
    else:
        neighbours = update_neighbours(warm.neighbours, source, _points(Z))
    return Space(ids, warm.basis, warm.n_fitted, Z, neighbours, near_duplicates(neighbours))


def row_ids(keys: Sequence[str]) -> np.ndarray:
    """Return a 64-bit digest of each key, uint64 of shape (n,); the second row with a key gets another one."""
    digests = (int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") for key in keys)
    ids = np.fromiter(digests, dtype=np.uint64, count=len(keys))
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    first = (
        np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ids) else np.zeros(0, np.int64)
    )
    repeat = np.arange(len(ids)) - np.repeat(first, np.diff(np.append(first, len(ids))))
    ids[order] = ordered + repeat.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ids


def _nothing(ids: np.ndarray, d: int, n_neighbours: int) -> Space:
    basis = Basis(np.zeros(d, np.float32), np.ones(d, np.float32), np.zeros((d, 0), np.float32), np.zeros(0))
    neighbours = Neighbours(
        np.zeros((0, n_neighbours), dtype=np.int32), np.zeros((0, n_neighbours), dtype=np.float32)
    )
    return Space(ids, basis, 0, np.zeros((0, 0), np.float32), neighbours, np.zeros(0, dtype=np.int64))


def _points(Z: np.ndarray) -> np.ndarray:
    leading = Z[:, :_NEIGHBOUR_AXES]
    points: np.ndarray = leading / np.maximum(np.linalg.norm(leading, axis=1, keepdims=True), 1e-12)
    return points


def _source(ids: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The row each id had earlier, -1 where it had none."""
    order = np.argsort(earlier)
    place = np.searchsorted(earlier[order], ids)
    row = order[np.minimum(place, len(earlier) - 1)]
    return np.where(earlier[row] == ids, row, -1)
