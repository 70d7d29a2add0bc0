"""Label what is left of a pool from people's answers, by whatever labels what people said best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.learners import choices
from ml.propagation.votes import tune, vote

NEIGHBOURS, CLASSIFIER, BOTH = "neighbours", "classifier", "both"


def label_rest(
    known: np.ndarray, y: np.ndarray, n_classes: int, rest: np.ndarray, keys: Sequence[str]
) -> tuple[np.ndarray, str]:
    """Label images by the nearest neighbours, by the loop's classifier, or by both together.

    The neighbours vote in the way that fits all labels best. Which of the three it is, is decided by the share of right
    labels among those that people gave, each predicted without itself; in a draw it is both.

    Parameters
    ----------
    known : ndarray of float32, shape (m, d)
        All that people have labelled.
    y : ndarray of int, shape (m,)
        Classes in [0, K), at least two of them.
    n_classes : int
    rest : ndarray of float32, shape (n, d)
    keys : sequence of str, length m
        Content digests of what people have labelled.

    Returns
    -------
    labels : ndarray of int64, shape (n,)
    learner : str
        ``neighbours``, ``classifier`` or ``both``.
    """
    centre = np.concatenate([known, rest]).mean(axis=0)
    known, rest = known - centre, rest - centre
    members = (tune(known, y, n_classes),)
    fit = choices.fit(known, y, n_classes, keys)
    own = {
        NEIGHBOURS: vote(known, y, n_classes, None, members),
        CLASSIFIER: fit.oos_probs,
        BOTH: (vote(known, y, n_classes) + fit.oos_probs) / 2.0,
    }
    right = {name: float((shares.argmax(axis=1) == y).mean()) for name, shares in own.items()}
    learner = max((BOTH, CLASSIFIER, NEIGHBOURS), key=lambda name: right[name])
    if learner == NEIGHBOURS:
        shares = vote(known, y, n_classes, rest, members)
    else:
        shares = fit.head.predict_proba(rest)
        if learner == BOTH:
            shares = (vote(known, y, n_classes, rest) + shares) / 2.0
    labels: np.ndarray = shares.argmax(axis=1)
    return labels, learner
