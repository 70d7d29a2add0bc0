"""COCO's run-length code: run lengths of a mask read column by column, background first, as numbers or as text.

In the text a length is the difference from the one but one before it (from the fourth on), in groups of five bits, the
lowest first; a sixth bit tells that more follow, and 48 is added so that it can be printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ml.masks import MaskError

_SHIFT = 48
_MORE = 32
_DIGITS = 12  # of five bits: what an int64 holds


def encode_coco(mask: np.ndarray) -> dict[str, Any]:
    """Return ``{"size": [H, W], "counts": text}``, as pycocotools writes it.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    """
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0] if flat[:1].any() else [], [0], turns, [flat.size]]).astype(np.int64)
    return {"size": list(mask.shape), "counts": _to_text(np.diff(bounds))}


def decode_coco(code: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of a code with its lengths as text, bytes or a list, bool of ``shape``.

    Raises
    ------
    MaskError
        If it is no such code, or of a mask of another size.
    """
    size, counts = code.get("size"), code.get("counts")
    if not isinstance(size, list | tuple) or list(size) != list(shape):
        raise MaskError(
            f"the run-length code is of size {size}, but the image has [height, width] {list(shape)}"
        )
    if isinstance(counts, str | bytes):
        lengths = _from_text(counts.encode() if isinstance(counts, str) else counts)
    elif isinstance(counts, list) and all(isinstance(one, int) for one in counts):
        lengths = np.array(counts, dtype=np.int64)
    else:
        raise MaskError(
            f"the lengths of a run-length code are text or a list of numbers, not {str(counts)[:60]!r}"
        )
    height, width = shape
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise MaskError(
            f"the run-length code is of {lengths.sum()} pixels, but the image has {height * width}"
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(shape, order="F")


def _to_text(lengths: np.ndarray) -> str:
    numbers = lengths.copy()
    numbers[3:] -= lengths[1:-2]
    # how many groups a number needs: its last has the sign in its highest bit
    size = np.where(numbers < 0, ~numbers, numbers)
    groups = np.ones(len(numbers), dtype=np.int64)
    for digit in range(1, _DIGITS):
        groups += size >> (5 * digit - 1) > 0
    owner = np.repeat(np.arange(len(numbers)), groups)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(groups) - groups, groups)
    signs = numbers[owner] >> (5 * place) & 31
    return (signs + _MORE * (place < groups[owner] - 1) + _SHIFT).astype(np.uint8).tobytes().decode("ascii")


def _from_text(text: bytes) -> np.ndarray:
    signs = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - _SHIFT
    if not len(signs):
        return np.zeros(0, dtype=np.int64)
    ends = signs & _MORE == 0
    begins = np.flatnonzero(np.concatenate([[True], ends[:-1]]))
    groups = np.diff(begins, append=len(signs))
    if signs.min() < 0 or signs.max() > 63 or not ends[-1] or groups.max() > _DIGITS:
        raise MaskError("the text of a run-length code is broken, or cut off")
    place = np.arange(len(signs)) - np.repeat(begins, groups)
    numbers = np.add.reduceat((signs & 31) << (5 * place), begins)
    negative = signs[begins + groups - 1] & 16 > 0
    numbers -= np.where(negative, np.int64(1) << (5 * groups), 0)
    # each builds on the one but one before it: two sums, side by side
    lengths = numbers
    for first in (1, 2):
        lengths[first::2] = np.cumsum(numbers[first::2])
    return lengths
