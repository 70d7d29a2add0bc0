"""How to learn from one kind of label. One module a kind, one registry line each."""

from __future__ import annotations

from typing import Any

from ml.learners import choices, multilabel
from ml.learners.base import Fit, Learner, ServingHead

__all__ = ["LEARNERS", "Fit", "Learner", "ServingHead", "find_learner"]

LEARNERS: dict[str, Learner[Any]] = {"choices": choices, "multilabel": multilabel}


def find_learner(kind: str) -> Learner[Any]:
    """Return the learner of a kind of label.

    Raises
    ------
    ValueError
        If there is none.
    """
    if kind not in LEARNERS:
        raise ValueError(f"no learner for labels of kind {kind!r}: there are {', '.join(LEARNERS)}")
    return LEARNERS[kind]
