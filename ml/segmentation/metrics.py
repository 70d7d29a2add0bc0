"""How well two index masks agree: Dice and intersection over union, by class and on average.

All of it comes from counts of pixels. A count of one image, summed over images, is that of the set: the Dice of a set
is that of all its pixels, in which large objects weigh more than in the mean over images.
"""

from __future__ import annotations

import numpy as np


def confusion(
    label: np.ndarray, predicted: np.ndarray, classes: int, ignore: int | None = None
) -> np.ndarray:
    """Count the pixels of every pair of classes.

    Parameters
    ----------
    label, predicted : ndarray of uint8 or uint16, shape (H, W)
        Index masks of one size.
    classes : int
        How many there are, K.
    ignore : int or None
        Pixels that have this number in either mask are left aside.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Rows: label, columns: predicted.

    Raises
    ------
    ValueError
        If the sizes differ, or a mask has a number of no class.
    """
    if label.shape != predicted.shape:
        raise ValueError(f"masks of {label.shape} and {predicted.shape} pixels cannot be compared")
    given, found = label.ravel(), predicted.ravel()
    if ignore is not None:
        known = (given != ignore) & (found != ignore)
        given, found = given[known], found[known]
    highest = max(int(given.max(initial=0)), int(found.max(initial=0)))
    if highest >= classes:
        raise ValueError(f"a mask has the number {highest}, but there are {classes} classes, from 0")
    pairs = given.astype(np.int64)
    pairs *= classes
    pairs += found
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def dice_per_class(counts: np.ndarray) -> np.ndarray:
    """Return twice the common pixels over the pixels of label and prediction together (Dice, Ecology 1945).

    The same as F1 of the pixels.

    Parameters
    ----------
    counts : ndarray, shape (..., K, K)
        Of `confusion`: of an image, of several, or their sum.

    Returns
    -------
    ndarray of float64, shape (..., K)
        In [0, 1]; NaN for a class that is in neither mask.
    """
    both, given, found = _sizes(counts)
    return _ratio(2 * both, given + found)


def iou_per_class(counts: np.ndarray) -> np.ndarray:
    """Return the common pixels over those of either mask (Jaccard, 1912); shapes and NaN as `dice_per_class`."""
    both, given, found = _sizes(counts)
    return _ratio(both, given + found - both)


def mean_dice(counts: np.ndarray) -> np.ndarray:
    """Return the mean of Dice over the classes that label or prediction have, float64 of shape (...).

    NaN where neither has a pixel that counts.
    """
    return _mean(dice_per_class(counts))


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """Return the mean intersection over union over the classes that label or prediction have, as `mean_dice`."""
    return _mean(iou_per_class(counts))


def pixel_accuracy(counts: np.ndarray) -> np.ndarray:
    """Return the share of pixels on which label and prediction agree, float64 of shape (...); NaN without any."""
    both, given, _ = _sizes(counts)
    return _ratio(both.sum(axis=-1), given.sum(axis=-1))


def _sizes(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1))
