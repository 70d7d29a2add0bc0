"""Two opinions on every image of a pool; where they agree and are sure it is labelled, the rest goes to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.acquisition.kmeans import lloyd, nearest
from ml.learners import choices
from ml.neighbours import find_neighbours
from ml.outliers.scale import unit_rows
from ml.propagation.votes import vote

# of k-means: more changed no label that counts, and cost as much again each
ROUNDS = 8
# nearest images of the pool that are looked at for problems
AROUND = 5
# share of the pool up to which questions are few
FEW = 0.15


@dataclass(frozen=True)
class Propagated:
    """What becomes of a pool; row i of every array is image i.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        The class the neighbours vote for.
    confidence : ndarray of float32, shape (n,)
        Its share of the votes, in [0, 1].
    second : ndarray of int64, shape (n,)
        The class of the cluster.
    margin : ndarray of float32, shape (n,)
        How far apart the two best classes are, in [0, 1]: the less, the more an answer teaches.
    problem : ndarray of bool, shape (n,)
        The two differ, or the votes are not clear enough, or most of the nearest images are so.
    ask : ndarray of bool, shape (n,)
        For people: as many images as there are problems, or the budget, those of the least margin.
    threshold : float
        The share of the votes from which a label is trusted, in (0, 1].
    """

    labels: np.ndarray
    confidence: np.ndarray
    second: np.ndarray
    margin: np.ndarray
    problem: np.ndarray
    ask: np.ndarray
    threshold: float

    @property
    def propagated(self) -> np.ndarray:
        """Which images have their label already, bool of shape (n,)."""
        return ~(self.problem | self.ask)

    @property
    def left(self) -> np.ndarray:
        """Which problems get their label from the answers to others, bool of shape (n,)."""
        return self.problem & ~self.ask


def propagate(
    labelled: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    pool: np.ndarray,
    keys: Sequence[str],
    *,
    precision: float = 0.95,
    budget: int | None = None,
) -> Propagated:
    """Give each image of a pool a label or to a person.

    The first opinion is the vote of an ensemble of nearest neighbours (`ml.propagation.votes`), half of it that of the
    linear head the loop uses: with a few labels a class it is right more often than neighbours are. The second is
    k-means with a cluster for each labelled image, started at its vector, whose labelled images name it. A vote is
    trusted from the share on at which, among the labelled images each left out, the wanted precision is reached.
    Vectors are centred first: what all images share says nothing, and hides angles. Agreement and confidence decide
    what is labelled now, and how many images need a person; which ones a person sees is decided by the margin, since
    problems that nobody sees are labelled from the answers. Few questions are problems of the least margin of the
    votes, many are images of the least margin of the linear head: so was each worth most (`benchmarks/propagation.py`).

    Parameters
    ----------
    labelled : ndarray of float32, shape (m, d)
    y : ndarray of int, shape (m,)
        Classes in [0, K).
    n_classes : int
    pool : ndarray of float32, shape (n, d)
    keys : sequence of str, length m
        Content digests of the labelled images.
    precision : float
        Wanted share of right labels among those that are no problems, in (0, 1].
    budget : int, optional
        How many images people are asked for at most; default: all problems.

    Raises
    ------
    ValueError
        If fewer than two classes are labelled, or the precision or the budget is out of range.
    """
    if not 0.0 < precision <= 1.0:
        raise ValueError(f"the precision is a share in (0, 1], got {precision}")
    if budget is not None and budget < 1:
        raise ValueError(f"a budget is at least one image, got {budget}")
    if len(np.unique(y)) < 2:
        raise ValueError("to propagate labels, at least two classes must have an image")
    centre = np.concatenate([labelled, pool]).mean(axis=0)
    labelled, pool = labelled - centre, pool - centre
    fit = choices.fit(labelled, y, n_classes, keys)
    by_head = fit.head.predict_proba(pool)
    shares = (vote(labelled, y, n_classes, pool) + by_head) / 2.0
    labels, confidence = shares.argmax(axis=1), shares.max(axis=1)
    threshold = trusted_from((vote(labelled, y, n_classes) + fit.oos_probs) / 2.0, y, precision)
    second = _clustered(labelled, y, n_classes, pool)
    problem = (labels != second) | (confidence < threshold)
    problem |= _among_problems(pool, problem)
    count = int(problem.sum()) if budget is None else min(budget, int(problem.sum()))
    few = count <= FEW * len(pool)
    margin = _margin(shares if few else by_head)
    ask = np.zeros(len(pool), dtype=bool)
    ask[np.lexsort((margin, ~problem if few else np.zeros(len(pool))))[:count]] = True
    return Propagated(labels, confidence, second, margin, problem, ask, threshold)


def _margin(shares: np.ndarray) -> np.ndarray:
    """Return the distance of the two largest of each row."""
    best = np.partition(shares, -2, axis=1)
    margin: np.ndarray = best[:, -1] - best[:, -2]
    return margin


def trusted_from(shares: np.ndarray, y: np.ndarray, precision: float) -> float:
    """Return the least share of votes from which at least ``precision`` of the labels are right; above 1 if none is.

    Parameters
    ----------
    shares : ndarray of float, shape (m, K)
        Votes on the labelled rows, each without its own.
    """
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == y
    order = np.argsort(-confidence, kind="stable")
    good = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= precision
    # rows of equal confidence are trusted together or not at all
    last = np.append(confidence[order][1:] < confidence[order][:-1], True)
    fits = np.flatnonzero(good & last)
    return float(confidence[order][fits[-1]]) if len(fits) else float(np.nextafter(1.0, 2.0))


def _clustered(labelled: np.ndarray, y: np.ndarray, n_classes: int, pool: np.ndarray) -> np.ndarray:
    centres = lloyd(np.concatenate([labelled, pool]), labelled, ROUNDS)
    counts = np.zeros((len(centres), n_classes))
    np.add.at(counts, (nearest(labelled, centres)[0], y), 1.0)
    # the image a cluster started from decides a draw, and names a cluster without labelled images
    counts[np.arange(len(y)), y] += 0.5
    names: np.ndarray = counts.argmax(axis=1)
    return names[nearest(pool, centres)[0]]


def _among_problems(pool: np.ndarray, problem: np.ndarray) -> np.ndarray:
    if len(pool) <= AROUND:
        return np.zeros(len(pool), dtype=bool)
    around = find_neighbours(unit_rows(pool), AROUND).index
    found = around >= 0
    mostly: np.ndarray = (problem[around] & found).sum(axis=1) > 0.5 * found.sum(axis=1)
    return mostly
