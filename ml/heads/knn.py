"""Class posterior from the labels of the nearest neighbours."""

from __future__ import annotations

import numpy as np

from ml.neighbours import Neighbours

_BANDWIDTH = 0.1  # of cosine similarity
_PRIOR_WEIGHT = 1.0  # of an average neighbour, given to the class frequencies
_CHUNK_VALUES = 1 << 24


def knn_posterior(y: np.ndarray, n_classes: int, neighbours: Neighbours, groups: np.ndarray) -> np.ndarray:
    """Return each row's class posterior by the labels of its neighbours, float32 of shape (n, K).

    The training-free posterior of SimiFeat (Zhu, Dong and Liu, arXiv 2110.06283) with weights
    exp((cosine - 1) / 0.1). Neither a row nor a near-duplicate of it has a vote. Good where classes are
    compact in the vectors; weak where many labels around a row are wrong in the same way.

    Parameters
    ----------
    y : ndarray of int, shape (n,)
    n_classes : int
    neighbours : Neighbours
        Among the same rows.
    groups : ndarray of int, shape (n,)
        Rows with the same number are near-duplicates.
    """
    from scipy.sparse import csr_matrix

    n, k = neighbours.index.shape
    index = neighbours.index
    weight, extra = _weights(neighbours, groups)
    counts = np.bincount(y, minlength=n_classes)
    prior = ((counts + 0.5) / (n + 0.5 * n_classes)).astype(np.float32)
    posterior = np.empty((n, n_classes), dtype=np.float32)
    rows = max(1, _CHUNK_VALUES // n_classes)
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        size = len(index[part])
        votes = csr_matrix(
            (weight[part].ravel(), (np.repeat(np.arange(size), k), y[index[part]].ravel())),
            shape=(size, n_classes),
        ).toarray()
        votes += extra * prior
        posterior[part] = votes / votes.sum(axis=1, keepdims=True)
    return posterior


def knn_shares(Y: np.ndarray, neighbours: Neighbours, groups: np.ndarray) -> np.ndarray:
    """Return for each row and class the share of its neighbours that have the class, float32 of shape (n, K).

    As `knn_posterior`, with every class a question of its own.

    Parameters
    ----------
    Y : ndarray of bool, shape (n, K)
        The classes each row has.
    neighbours, groups
        As in `knn_posterior`.
    """
    from scipy.sparse import csr_matrix

    n, k = neighbours.index.shape
    weight, extra = _weights(neighbours, groups)
    members = np.maximum(neighbours.index, 0).ravel()  # places without a neighbour weigh nothing
    votes = csr_matrix((weight.ravel(), members, np.arange(0, n * k + 1, k)), shape=(n, n)) @ Y.astype(
        np.float32
    )
    prior = ((Y.sum(axis=0) + 0.5) / (n + 1.0)).astype(np.float32)
    shares: np.ndarray = (votes + extra * prior) / (weight.sum(axis=1, keepdims=True) + extra)
    return shares


def _weights(neighbours: Neighbours, groups: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """The weight of each neighbour's vote, float32 of shape (n, k), and that of the class frequencies."""
    index = neighbours.index
    voting = (index >= 0) & (groups[index] != groups[:, None])
    weight = np.exp((neighbours.similarity - 1.0) / _BANDWIDTH) * voting
    return weight, np.float32(_PRIOR_WEIGHT * weight.sum() / max(int(voting.sum()), 1) + 1e-12)
