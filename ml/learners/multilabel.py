"""Any number of classes an image, none included: labels are class sets, bool of shape (n, K)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ml.heads.sets import SetEnsemble, fit_sets, likely_sets
from ml.heads.sigmoid import SigmoidHead


def fit(
    X: np.ndarray, labels: np.ndarray, n_classes: int, keys: Sequence[str], *, warm: SetEnsemble | None = None
) -> SetEnsemble:
    """Fit `ml.heads.sets`; ``n_classes`` is the labels' own."""
    if labels.shape[1:] != (n_classes,):
        raise ValueError(f"class sets of {n_classes} classes have shape (n, {n_classes}), got {labels.shape}")
    return fit_sets(X, labels, keys, warm=warm)


def restore(arrays: Mapping[str, np.ndarray]) -> SetEnsemble:
    """Return a stored fit to start from."""
    return SetEnsemble.from_arrays(arrays)


def serve(arrays: Mapping[str, np.ndarray]) -> SigmoidHead:
    """Return the stored head."""
    return SigmoidHead.from_arrays(arrays)


def decide(probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes more probable than not, and the probability of the least certain decision."""
    return likely_sets(probs)


def question(probs: np.ndarray) -> np.ndarray:
    """Return each row's least certain class as a question of no or yes, shape (n, 2).

    A set is as uncertain as its least certain class: what an annotator would most probably have to change in the
    pre-annotation. So every strategy for one class an image works on several, two answers at a time.
    """
    rows = np.arange(len(probs))
    least = probs[rows, np.abs(probs - 0.5).argmin(axis=1)]
    return np.stack([1.0 - least, least], axis=1)


def answers(labels: np.ndarray) -> np.ndarray | None:
    """Return None: each row's question is about another class, so labelled rows have no answer in common."""
    return None


def count(labels: np.ndarray, n_classes: int) -> list[int]:
    """Return how many rows have each class."""
    return [int(number) for number in labels.sum(axis=0)]
