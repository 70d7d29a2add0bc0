"""Order a pool by a strategy, with a share of the head left to chance."""

from __future__ import annotations

import numpy as np

from ml.acquisition import find_strategy


def order(
    strategy: str,
    *,
    probs: np.ndarray | None,
    X: np.ndarray,
    labelled_X: np.ndarray,
    rng: np.random.Generator,
    exploration: float = 0.1,
    head: int = 50,
) -> np.ndarray:
    """Order the pool, best first.

    The first ``head`` places go to the strategy's selection, except for a share of them, at random places,
    that is drawn uniformly from the whole pool: it protects against a strategy that loses to chance (arXiv
    2403.14800) and is an unbiased sample to measure accuracy on. The rest follows by the strategy's
    utilities.

    Parameters
    ----------
    strategy : str
        Name of a strategy of `ml.acquisition.STRATEGIES`.
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of the pool; None before there is a model.
    X : ndarray of float, shape (n, d)
        Vectors of the pool.
    labelled_X : ndarray of float, shape (m, d)
        Vectors of what is labelled.
    rng : numpy.random.Generator
        Makes the order reproducible.
    exploration : float
        Share of the head drawn at random, in [0, 1].
    head : int
        Places ordered with care.

    Returns
    -------
    ndarray of int, shape (n,)
        A permutation of the pool.

    Raises
    ------
    ValueError
        If the strategy is unknown or arrays do not fit.
    """
    n = len(X)
    select = find_strategy(strategy)
    if not 0.0 <= exploration <= 1.0:
        raise ValueError(f"exploration is a share in [0, 1], got {exploration}")
    if probs is not None and len(probs) != n:
        raise ValueError(f"probs has {len(probs)} rows, X has {n}")
    size = max(0, min(head, n))
    explored = rng.choice(n, round(exploration * size), replace=False)
    rest = np.setdiff1d(np.arange(n), explored)
    picked, utilities = select(
        None if probs is None else probs[rest], X[rest], labelled_X, size - len(explored), rng
    )
    front = np.empty(size, dtype=np.int64)
    at_random = np.zeros(size, dtype=bool)
    at_random[rng.choice(size, len(explored), replace=False)] = True
    front[at_random], front[~at_random] = explored, rest[picked]
    left = np.ones(len(rest), dtype=bool)
    left[picked] = False
    tail = rest[left][np.argsort(-utilities[left], kind="stable")]
    return np.concatenate([front, tail])
