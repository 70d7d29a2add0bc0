"""Temperature scaling: one number that makes confidences match frequencies (Guo et al., arXiv 1706.04599)."""

from __future__ import annotations

import numpy as np

from ml.heads.head import log_softmax

_PRIOR_DEVIATION = 0.5  # of log temperature; a handful of rows cannot move it far
_BRACKET = 2.5
_SECTIONS = 24
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the mean log-loss in nats of logits of shape (n, K) against classes of shape (n,)."""
    return float(-log_softmax(logits)[np.arange(len(y)), y].mean(dtype=np.float64))


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the temperature to divide held-out logits by, in about [0.08, 12].

    Maximum a posteriori under a log-normal prior around 1, found by golden-section search: the log-loss of
    scaled logits has a single minimum.

    Parameters
    ----------
    logits : ndarray of float, shape (n, K)
        Out-of-sample.
    y : ndarray of int, shape (n,)
    """

    def objective(log_temperature: float) -> float:
        fit = len(y) * log_loss(logits / np.float32(np.exp(log_temperature)), y)
        return fit + 0.5 * (log_temperature / _PRIOR_DEVIATION) ** 2

    low, high = -_BRACKET, _BRACKET
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = objective(left), objective(right)
    for _ in range(_SECTIONS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = objective(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = objective(right)
    return float(np.exp((low + high) / 2))
