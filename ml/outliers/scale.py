"""What outlier methods share: unit vectors, and scores that mean the same whatever the method."""

from __future__ import annotations

import numpy as np

_FENCE = 1.5  # interquartile ranges: Tukey's fence


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Return centred rows of norm 1, float32 of shape (n, d)."""
    centred = np.asarray(vectors, dtype=np.float32) - np.mean(vectors, axis=0, dtype=np.float64).astype(
        np.float32
    )
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: np.ndarray = centred / np.maximum(norms, 1e-12)
    return unit


def tukey_score(values: np.ndarray) -> np.ndarray:
    """Map values of shape (n,), large where far out, to [0, 1]: 0.5 at Tukey's fence.

    Values at or below the median get 0 and the score halves its distance to 1 with every further fence.
    """
    values = np.asarray(values, dtype=np.float64)
    low, middle, high = np.percentile(values, [25, 50, 75])
    reach = high + _FENCE * (high - low) - middle
    if reach <= 1e-12 * max(1.0, abs(middle)):
        return np.where(values > middle + 1e-6 * max(1.0, abs(middle)), 1.0, 0.0)
    scores: np.ndarray = 1.0 - 0.5 ** (np.maximum(values - middle, 0.0) / reach)
    return scores
