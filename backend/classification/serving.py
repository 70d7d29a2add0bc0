"""Predictions of a published head: a vector look-up and a matrix product."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from backend.labelstudio.kind import Kind
from backend.registry import Version
from backend.settings import Settings
from backend.vectors import open_vectors
from ml.learners import find_learner

BATCH = 1024


class VectorAnswers:
    """A head on image vectors.

    Parameters
    ----------
    settings : Settings
    version : Version
    """

    def __init__(self, settings: Settings, version: Version) -> None:
        self.learner = find_learner(version.manifest["kind"])
        self.head = self.learner.serve(version.arrays)
        self.vectors = open_vectors(settings, version.manifest["fingerprint"], len(self.head.mean))
        self._lock = threading.Lock()

    def known(self, keys: Sequence[str]) -> np.ndarray:
        """Return which images have a vector."""
        with self._lock:
            there: np.ndarray = np.asarray(self.vectors.has(keys), dtype=bool)
        return there

    def predict(self, kind: Kind, keys: Sequence[str]) -> Iterator[tuple[list[dict[str, Any]], float] | None]:
        """Yield the most probable label as a result, and its confidence."""
        for start in range(0, len(keys), BATCH):
            with self._lock:
                vectors, found = self.vectors.get(keys[start : start + BATCH])
            decided, confidence = self.learner.decide(self.head.predict_proba(vectors))
            for label, sure, there in zip(decided, confidence.tolist(), found, strict=True):
                yield (kind.result(label, sure), sure) if there else None
