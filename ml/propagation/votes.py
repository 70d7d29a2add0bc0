"""Votes of labelled neighbours: an ensemble over how many, by which distance, and how they are weighted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

_BLOCK = 4096
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Member:
    """One way to vote: the k nearest by a metric, all alike or by the inverse of their distance."""

    k: int
    metric: str
    weighted: bool


MEMBERS = tuple(
    Member(k, metric, weighted)
    for k, metric, weighted in product((1, 5, 15, 40), ("cosine", "euclidean"), (False, True))
    if k > 1 or not weighted  # of one neighbour the weight says nothing
)


@dataclass(frozen=True)
class Nearest:
    """The labelled neighbours of some rows by one metric, nearest first.

    Attributes
    ----------
    index : ndarray of int64, shape (n, k)
    distance : ndarray of float32, shape (n, k)
    """

    index: np.ndarray
    distance: np.ndarray


def find_nearest(labelled: np.ndarray, queries: np.ndarray | None, k: int, metric: str) -> Nearest:
    """Return the nearest labelled rows of each query, exactly.

    Parameters
    ----------
    labelled : ndarray of float32, shape (m, d)
    queries : ndarray of float32, shape (n, d), or None
        None: of the labelled rows themselves, none its own neighbour.
    k : int
        At most; as many as there are.
    metric : 'cosine' or 'euclidean'
    """
    import faiss

    own = queries is None
    rows, asked = (_points(X, metric) for X in (labelled, labelled if queries is None else queries))
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    wanted = min(k + own, len(rows))
    squared, found = index.search(asked, wanted)
    if own:
        mine = found == np.arange(len(rows))[:, None]
        mine[~mine.any(axis=1), -1] = True  # crowded out by equal rows
        shape = (len(rows), wanted - 1)
        squared, found = squared[~mine].reshape(shape), found[~mine].reshape(shape)
    return Nearest(found.astype(np.int64), np.sqrt(np.maximum(squared, 0.0)))


def _points(X: np.ndarray, metric: str) -> np.ndarray:
    X = np.ascontiguousarray(X, dtype=np.float32)
    if metric == "euclidean":
        return X
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), _TINY)


def vote(
    labelled: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    queries: np.ndarray | None = None,
    members: tuple[Member, ...] = MEMBERS,
) -> np.ndarray:
    """Return the share of the votes each class gets, averaged over the members, float32 of shape (n, K).

    Parameters
    ----------
    labelled : ndarray of float32, shape (m, d)
        At least two rows.
    y : ndarray of int, shape (m,)
    n_classes : int
    queries : ndarray of float32, shape (n, d), optional
        Default: the labelled rows, each without its own vote.
    members : tuple of Member
    """
    n = len(labelled) if queries is None else len(queries)
    shares = np.zeros((n, n_classes), dtype=np.float32)
    for metric in sorted({member.metric for member in members}):
        ours = [member for member in members if member.metric == metric]
        nearest = find_nearest(labelled, queries, max(member.k for member in ours), metric)
        for member in ours:
            shares += _one(nearest, y, n_classes, member) / len(members)
    return shares


def _one(nearest: Nearest, y: np.ndarray, n_classes: int, member: Member) -> np.ndarray:
    k = min(member.k, nearest.index.shape[1])
    labels = y[nearest.index[:, :k]]
    weights = (
        1.0 / (nearest.distance[:, :k] + _TINY)
        if member.weighted
        else np.ones(labels.shape, dtype=np.float32)
    )
    shares = np.zeros((len(labels), n_classes), dtype=np.float32)
    np.add.at(shares, (np.arange(len(labels))[:, None], labels), weights)
    return shares / shares.sum(axis=1, keepdims=True)


def tune(labelled: np.ndarray, y: np.ndarray, n_classes: int) -> Member:
    """Return the member that predicts the labelled rows best, each left out; ties go to more neighbours."""
    right = {
        member: float((vote(labelled, y, n_classes, None, (member,)).argmax(axis=1) == y).mean())
        for member in MEMBERS
    }
    return max(MEMBERS, key=lambda member: (right[member], member.k))
