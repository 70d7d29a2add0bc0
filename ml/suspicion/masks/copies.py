"""Masks of one and the same image: which are the same, but for a shaky hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.segmentation.metrics import confusion, mean_dice
from ml.suspicion.masks.findings import MaskFindings

_SAME = 0.6  # of Dice on a coarse grid


def number_masks(findings: Sequence[MaskFindings], copies: np.ndarray) -> np.ndarray:
    """Return a number for each mask, the same for masks of an image that agree, int64 of shape (n,).

    Parameters
    ----------
    findings : sequence of MaskFindings, length n
    copies : ndarray of int, shape (n,)
        Of `ml.suspicion.copies.find_copies`.
    """
    numbers = np.zeros(len(findings), dtype=np.int64)
    firsts: dict[int, list[int]] = {}
    for row, image in enumerate(copies.tolist()):
        others = firsts.setdefault(image, [])
        like = (place for place, other in enumerate(others) if _agree(findings[row], findings[other]))
        numbers[row] = next(like, len(others))
        if numbers[row] == len(others):
            others.append(row)
    return numbers


def _agree(one: MaskFindings, other: MaskFindings) -> bool:
    count = len(one.shares)
    a, b = (np.frombuffer(found.sketch, dtype=np.uint16) for found in (one, other))
    known = (a < count) & (b < count)
    dice = float(mean_dice(confusion(a[known], b[known], count)))
    return bool(np.isnan(dice) or dice >= _SAME)
