"""Linear classifiers, ready to serve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probs: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return probs


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


@dataclass(frozen=True)
class LinearHead(ABC):
    """Probabilities by a link function of ``((x - mean) / scale) @ W + b``.

    Attributes
    ----------
    W : ndarray of float32, shape (d, K)
    b : ndarray of float32, shape (K,)
    mean, scale : ndarray of float32, shape (d,)
        Of the training vectors.
    """

    W: np.ndarray
    b: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @staticmethod
    @abstractmethod
    def link(values: np.ndarray, /) -> np.ndarray:
        """Turn values of shape (n, K) into probabilities."""

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return class probabilities, float32 of shape (n, K), of vectors of shape (n, d)."""
        X = np.asarray(X, dtype=np.float32)
        if X.ndim != 2 or X.shape[1] != len(self.mean):
            raise ValueError(f"the head takes vectors of shape (n, {len(self.mean)}), got {X.shape}")
        return self.link(((X - self.mean) / self.scale) @ self.W + self.b)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store, each contiguous."""
        arrays = {"W": self.W, "b": self.b, "mean": self.mean, "scale": self.scale}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Build a head from what `to_arrays` returned; other entries are ignored."""
        return cls(W=arrays["W"], b=arrays["b"], mean=arrays["mean"], scale=arrays["scale"])


class Head(LinearHead):
    """One class a row: the softmax."""

    link = staticmethod(softmax)
