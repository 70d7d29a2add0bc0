"""What a query strategy is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ml.acquisition.distances import squared_distances

NEAR = 0.1  # rows closer than this share of the typical distance are near-duplicates
_SAMPLE = 256


@dataclass(frozen=True)
class Pool:
    """The unlabelled rows to choose from, and what is known of the labelled ones.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
        Vectors of the pool.
    probs : ndarray of float, shape (n, K), or None
        Class probabilities of the pool; None before there is a model.
    labelled_X : ndarray of float32, shape (m, d), optional
        Vectors of what is labelled; default: nothing.
    labelled_y : ndarray of int, shape (m,), optional
        Classes of what is labelled, in [0, K). A strategy that needs them says what it does without.
    batch_X : ndarray of float32, shape (b, d), optional
        Vectors of what is in the batch already, to keep distance from.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """

    X: np.ndarray
    probs: np.ndarray | None = None
    labelled_X: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    labelled_y: np.ndarray | None = None
    batch_X: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def __post_init__(self) -> None:
        X = np.asarray(self.X, dtype=np.float32)
        if X.ndim != 2:
            raise ValueError(f"X has shape (n, d), got {X.shape}")
        object.__setattr__(self, "X", X)
        for name in ("labelled_X", "batch_X"):
            rows = np.asarray(getattr(self, name), dtype=np.float32)
            if rows.size == 0:
                rows = np.zeros((0, X.shape[1]), dtype=np.float32)
            if rows.ndim != 2 or rows.shape[1] != X.shape[1]:
                raise ValueError(f"X has {X.shape[1]} columns, {name} has shape {rows.shape}")
            object.__setattr__(self, name, rows)
        if self.probs is not None and (self.probs.ndim != 2 or len(self.probs) != len(X)):
            raise ValueError(f"probs has {len(self.probs)} rows, X has {len(X)}")
        if self.labelled_y is not None:
            labels = np.asarray(self.labelled_y, dtype=np.int64)
            if labels.shape != (len(self.labelled_X),):
                raise ValueError(f"labelled_y has shape {labels.shape}, labelled_X {self.labelled_X.shape}")
            object.__setattr__(self, "labelled_y", labels)

    def __len__(self) -> int:
        return len(self.X)

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean of a sample of the pool, shape (d,): distances between centred rows round less."""
        return self._sample().mean(axis=0) if len(self) else np.zeros(self.X.shape[1], dtype=np.float32)

    @cached_property
    def typical_distance(self) -> float:
        """Median distance between rows of a sample of the pool; 1 where all are the same."""
        rows = self._sample() - self.centre
        squared = squared_distances(rows, rows)
        apart = squared[squared > 1e-6 * max(float(squared.max(initial=0.0)), 1e-12)]
        return float(np.sqrt(np.median(apart))) if len(apart) else 1.0

    @cached_property
    def near_distance(self) -> float:
        """Distance below which two rows are near-duplicates."""
        return NEAR * self.typical_distance

    def _sample(self) -> np.ndarray:
        return self.X[np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).astype(np.int64)]
