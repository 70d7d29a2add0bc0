"""Which labels to review: by a threshold on the suspicion, or by a filter."""

from __future__ import annotations

import numpy as np

from ml.suspicion.threshold import review_threshold

_LEAST_SHOWN = 0.01  # suspicions are shown with two decimals


def choose_suspects(
    suspicion: np.ndarray,
    *,
    checked: np.ndarray,
    found: int,
    unseen: np.ndarray | None,
    precision: float | None,
    issues: np.ndarray | None,
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the suspicion, the threshold, and which labels are suspect.

    Parameters
    ----------
    suspicion : ndarray of float, shape (n,)
        Calibrated probabilities.
    checked : ndarray of bool, shape (n,)
        Labels a person has reviewed: not suspect again.
    found : int
        How many of those were wrong.
    unseen : ndarray of bool, shape (n,), or None
        Labels that cannot be judged: not suspect.
    precision : float or None
        See `ml.suspicion.threshold.review_threshold`.
    issues : ndarray of bool, shape (n,), or None
        What a filter takes for wrong; it decides instead of the threshold, which becomes the suspicion of the least
        suspicious of these, and what the filter passes stays below.
    """
    open_to_doubt = ~checked if unseen is None else ~checked & ~unseen
    if issues is None:
        threshold = review_threshold(
            suspicion[~checked], precision=precision, checked=int(checked.sum()), found=found
        )
        return suspicion, threshold, (suspicion >= threshold) & open_to_doubt
    suspect = issues & open_to_doubt
    threshold = max(float(suspicion[suspect].min(initial=1.0)), _LEAST_SHOWN)
    raised, lowered = np.maximum(suspicion, threshold), np.minimum(suspicion, threshold - _LEAST_SHOWN)
    return np.where(suspect, raised, lowered), threshold, suspect
