"""What every learner can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np


class ServingHead(Protocol):
    """A head that predicts vectors."""

    @property
    def mean(self) -> np.ndarray:
        """Mean of the training vectors, shape (d,)."""
        ...

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, K), of vectors of shape (n, d)."""
        ...


class Fit(Protocol):
    """A fitted head and what it says of its own training rows."""

    @property
    def head(self) -> ServingHead:
        """For new vectors."""
        ...

    @property
    def oos_probs(self) -> np.ndarray:
        """Class probabilities of each training row by models that have not seen it, shape (n, K)."""
        ...

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store: the head's, and what a later fit starts from."""
        ...

    def evidence(self) -> dict[str, Any]:
        """Return what the kind's judge wants to know of the training rows besides their probabilities."""
        ...


F = TypeVar("F", bound=Fit)


class Learner(Protocol[F]):
    """The functions of a learner's module.

    Labels are an array whose row i is the label of row i: class indices of shape (n,), or class sets as bool of
    shape (n, K). Probabilities have shape (n, K).
    """

    def fit(
        self, X: np.ndarray, labels: np.ndarray, n_classes: int, keys: Sequence[str], *, warm: F | None = None
    ) -> F:
        """Learn from vectors of shape (n, d), their labels and content digests; ``warm``: an earlier fit.

        Raises
        ------
        NotEnoughClasses
            If there is nothing to tell apart yet.
        """
        ...

    def restore(self, arrays: Mapping[str, np.ndarray]) -> F:
        """Return a fit to start the next one from, of what ``Fit.to_arrays`` returned."""
        ...

    def serve(self, arrays: Mapping[str, np.ndarray]) -> ServingHead:
        """Return the head in what ``Fit.to_arrays`` returned."""
        ...

    def decide(self, probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the most probable label of each row, and its confidence in [0, 1], shape (n,)."""
        ...

    def question(self, probs: np.ndarray) -> np.ndarray:
        """Return what query strategies are given: probabilities whose rows sum to 1, shape (n, C)."""
        ...

    def answers(self, labels: np.ndarray) -> np.ndarray | None:
        """Return the class in [0, C) of each labelled row, shape (n,); None where one class does not say it."""
        ...

    def count(self, labels: np.ndarray, n_classes: int) -> list[int]:
        """Return how many rows have each class."""
        ...
