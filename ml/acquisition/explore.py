"""Order a pool by a strategy, with a share of the head left to chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from ml.acquisition import Pool, find_strategy
from ml.acquisition.distinct import take

EXPLORE_FROM = 100


@dataclass(frozen=True)
class Arranged:
    """An ordered pool.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        A permutation of the pool, best first.
    explored : ndarray of bool, shape (n,)
        Rows of the pool, not places of the order, that are in the head by lot.
    """

    order: np.ndarray
    explored: np.ndarray


def lottery(keys: Sequence[str]) -> np.ndarray:
    """Draw a number in [0, 1) for each row by the hash of its key, shape (n,).

    The draw never changes, so exploration works through one fixed random order of the whole collection
    whatever else is labelled in between; independent of `ml.folds.stable_folds`.
    """
    digests = (blake2b(key.encode(), digest_size=8, person=b"lottery").digest() for key in keys)
    numbers = np.fromiter((int.from_bytes(digest, "big") for digest in digests), np.uint64, len(keys))
    return (numbers >> np.uint64(11)).astype(np.float64) / 2.0**53


def uniform_sample(drawn: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return which labelled rows are a uniform sample of the whole collection.

    These are the rows drawn before the first unlabelled one: they would be labelled by now whatever the
    strategy had asked for, so accuracy on them is without bias, and no record of past batches is needed. New
    rows shrink the sample until exploration has caught up with them.

    Parameters
    ----------
    drawn : ndarray of float, shape (n,)
        The `lottery` of every row, labelled or not.
    labelled : ndarray of bool, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    frontier = drawn[~labelled].min(initial=np.inf)
    inside: np.ndarray = labelled & (drawn < frontier)
    return inside


def arrange(
    strategy: str,
    *,
    probs: np.ndarray | None,
    X: np.ndarray,
    labelled_X: np.ndarray,
    rng: np.random.Generator,
    labelled_y: np.ndarray | None = None,
    lottery: np.ndarray | None = None,
    exploration: float = 0.1,
    head: int = 50,
) -> Arranged:
    """Order the pool and say what chance has put into its head.

    The first ``head`` places go to the strategy's selection, except for a share of them, at random places,
    that is drawn uniformly from the whole pool: it protects against a strategy that loses to chance (arXiv
    2403.14800), shows what the model does not know it is missing, rare classes among it, and is a sample to
    measure accuracy on without bias (`uniform_sample`). Nothing is explored before there are a model and
    `EXPLORE_FROM` labels: a handful drawn by lot measures nothing yet, and the first labels count most. The
    rest follows by the strategy's utilities. No two rows of the head are near-duplicates
    (`ml.acquisition.pool.NEAR`) while there are others.

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
    labelled_y : ndarray of int, shape (m,), optional
        Classes of what is labelled, for the strategies that use them.
    lottery : ndarray of float, shape (n,), optional
        The `lottery` of the pool's rows: the lowest numbers are explored first. Default: drawn anew.
    exploration : float
        Share of the head drawn at random from `EXPLORE_FROM` labels on, in [0, 1].
    head : int
        Places ordered with care.

    Returns
    -------
    Arranged

    Raises
    ------
    ValueError
        If the strategy is unknown or arrays do not fit.
    """
    n = len(X)
    select = find_strategy(strategy)
    if not 0.0 <= exploration <= 1.0:
        raise ValueError(f"exploration is a share in [0, 1], got {exploration}")
    pool = Pool(X=X, probs=probs, labelled_X=labelled_X, labelled_y=labelled_y)
    drawn = rng.random(n) if lottery is None else np.asarray(lottery, dtype=np.float64)
    if drawn.shape != (n,):
        raise ValueError(f"lottery has shape {drawn.shape}, X has {n} rows")
    size = max(0, min(head, n))
    share = 0.0 if probs is None or len(labelled_X) < EXPLORE_FROM else exploration
    explored = take(pool, np.argsort(drawn, kind="stable"), _share(share * size, rng))
    is_explored = np.zeros(n, dtype=bool)
    is_explored[explored] = True
    rest = np.flatnonzero(~is_explored)
    others = Pool(
        X=pool.X[rest],
        probs=None if probs is None else probs[rest],
        labelled_X=pool.labelled_X,
        labelled_y=pool.labelled_y,
        batch_X=pool.X[explored],
    )
    picked, utilities = select(others, size - len(explored), rng)
    front = np.empty(size, dtype=np.int64)
    at_random = np.zeros(size, dtype=bool)
    at_random[rng.choice(size, len(explored), replace=False)] = True
    front[at_random], front[~at_random] = explored, rest[picked]
    left = np.ones(len(rest), dtype=bool)
    left[picked] = False
    tail = rest[left][np.argsort(-utilities[left], kind="stable")]
    return Arranged(np.concatenate([front, tail]), is_explored)


def _share(places: float, rng: np.random.Generator) -> int:
    """Round up or down by chance, so that heads of a few places are explored too in the long run."""
    whole = int(places)
    return whole + int(rng.random() < places - whole)
