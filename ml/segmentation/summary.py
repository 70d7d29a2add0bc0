"""What a prediction of masks is like, in a few numbers: for the order of thousands of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST = 4  # cells; what is smaller is a rim more often than a thing


@dataclass(frozen=True, slots=True)
class PixelSummary:
    """A prediction, pooled over what it shows: an object is a connected piece of one class, background too.

    A pixel's margin is the lead of its most probable class over the next; its entropy is in shares of the largest
    there can be. Means are over pixels of an object, then over objects, so that a small one counts as a large one.

    Attributes
    ----------
    shares : ndarray of float32, shape (K,)
        Of the image, by most probable class.
    confidence : float
        Mean probability of the most probable class over all pixels.
    margin, entropy : float
        Means over objects.
    least_margin, most_entropy : float
        Of the object in most doubt.
    objects : int
    """

    shares: np.ndarray
    confidence: float
    margin: float
    entropy: float
    least_margin: float
    most_entropy: float
    objects: int


def summarise(probs: np.ndarray) -> PixelSummary:
    """Summarise probabilities, float of shape (K, h, w) with K at least 2."""
    n_classes = len(probs)
    flat = probs.reshape(n_classes, -1)
    best = flat.argmax(axis=0)
    two = np.partition(flat, n_classes - 2, axis=0)[-2:]
    margins = two[1] - two[0]
    entropies = -(flat * np.log(np.maximum(flat, 1e-12))).sum(axis=0) / np.log(n_classes)
    pieces = _pieces(best.reshape(probs.shape[1:]))
    sizes = np.bincount(pieces)
    counted = sizes >= min(_LEAST, int(sizes.max()))
    margin = np.bincount(pieces, margins)[counted] / sizes[counted]
    entropy = np.bincount(pieces, entropies)[counted] / sizes[counted]
    return PixelSummary(
        shares=(np.bincount(best, minlength=n_classes) / len(best)).astype(np.float32),
        confidence=float(two[1].mean()),
        margin=float(margin.mean()),
        entropy=float(entropy.mean()),
        least_margin=float(margin.min()),
        most_entropy=float(entropy.max()),
        objects=int(counted.sum()),
    )


def _pieces(best: np.ndarray) -> np.ndarray:
    """Return the number of each pixel's connected piece, from 0, shape (h * w,)."""
    from scipy.ndimage import label  # a server that only predicts does without

    pieces = np.zeros(best.shape, dtype=np.int64)
    count = 0
    for number in np.unique(best):
        found, more = label(best == number)
        pieces += np.where(found > 0, found + count - 1, 0)
        count += more
    return pieces.ravel()
