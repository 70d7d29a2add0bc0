"""How good suspicions are, where it is known which labels are wrong."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve

BINS = 15


def calibration_error(probs: np.ndarray, wrong: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al., arXiv 1706.04599)."""
    place = np.minimum((probs * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        rows = place == number
        if rows.any():
            total += rows.mean() * abs(float(probs[rows].mean() - wrong[rows].mean()))
    return total


def best_f1(wrong: np.ndarray, scores: np.ndarray) -> float:
    """Return the highest F1 of any threshold."""
    precision, recall, _ = precision_recall_curve(wrong, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def f1(wrong: np.ndarray, found: np.ndarray) -> float:
    """Return the F1 of a yes or no."""
    return float(2 * (found & wrong).sum() / max(found.sum() + wrong.sum(), 1))


def precision_at(wrong: np.ndarray, scores: np.ndarray, recalls: np.ndarray) -> list[float]:
    """Return the precision at which each recall is first reached, down a list ordered by score."""
    hits = np.cumsum(wrong[np.argsort(-scores, kind="stable")])
    rows = np.searchsorted(hits, np.maximum(1, np.ceil(recalls * hits[-1])))
    return [float(hits[row] / (row + 1)) for row in rows]


def reliability(
    probs: np.ndarray, wrong: np.ndarray, bins: int = 10, least: int = 20
) -> dict[str, list[float]]:
    """Return mean suspicion and share of wrong labels in bins of at least ``least`` rows."""
    place = np.minimum((probs * bins).astype(int), bins - 1)
    kept = [place == number for number in range(bins) if (place == number).sum() >= least]
    return {
        "suspicion": [float(probs[rows].mean()) for rows in kept],
        "wrong": [float(wrong[rows].mean()) for rows in kept],
    }
