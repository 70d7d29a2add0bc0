"""One class an image: labels are class indices of shape (n,)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ml.heads.ensemble import Ensemble, fit_ensemble
from ml.heads.head import Head


def fit(
    X: np.ndarray, labels: np.ndarray, n_classes: int, keys: Sequence[str], *, warm: Ensemble | None = None
) -> Ensemble:
    """Fit `ml.heads.ensemble`."""
    return fit_ensemble(X, labels, n_classes, keys, warm=warm)


def restore(arrays: Mapping[str, np.ndarray]) -> Ensemble:
    """Return a stored fit to start from."""
    return Ensemble.from_arrays(arrays)


def serve(arrays: Mapping[str, np.ndarray]) -> Head:
    """Return the stored head."""
    return Head.from_arrays(arrays)


def decide(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each row and its probability."""
    return probs.argmax(axis=1), probs.max(axis=1)


def question(probs: np.ndarray) -> np.ndarray:
    """Return the class probabilities themselves."""
    return probs


def answers(labels: np.ndarray) -> np.ndarray | None:
    """Return the labels themselves."""
    return labels


def count(labels: np.ndarray, n_classes: int) -> list[int]:
    """Return how many rows have each class."""
    return [int(number) for number in np.bincount(labels, minlength=n_classes)]
