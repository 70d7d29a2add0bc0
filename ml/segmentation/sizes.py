"""Between the size of images and the size that is worked at."""

from __future__ import annotations

import numpy as np

SIDE = 512
_BAND = 1 << 20  # pixels looked at in one go
_VALUES = 1 << 21  # probabilities interpolated in one go


def work_size(height: int, width: int, side: int = SIDE) -> tuple[int, int]:
    """Return height and width so that the longer is at most ``side``; small images stay as they are."""
    longer = max(height, width)
    if longer <= side:
        return height, width
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an index mask (H, W) at another size: each pixel is the one under its centre."""
    rows, columns = (_under(old, new) for old, new in zip(mask.shape, size, strict=True))
    return mask[rows[:, None], columns]


def enlarge_probs_to_mask(probs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the most probable class of every pixel of an image, by bilinear interpolation.

    Where the four nearest pixels agree on a class, so does anything between them; probabilities are interpolated
    only elsewhere, and in bands of rows, so 50 classes at 8 megapixels take little more than the mask.

    Parameters
    ----------
    probs : ndarray of float32, shape (K, h, w)
    shape : (int, int)
        Height and width of the mask.

    Returns
    -------
    ndarray of uint8 or uint16, shape ``shape``
    """
    n_classes, h, w = probs.shape
    top = probs.argmax(axis=0).astype(np.uint8 if n_classes <= 256 else np.uint16)
    if shape == (h, w):
        return top
    height, width = shape
    flat = np.ascontiguousarray(probs, dtype=np.float32).reshape(n_classes, h * w)
    (above, below, down), (left, right, across) = axis_weights(h, height), axis_weights(w, width)
    mask = np.empty(shape, dtype=top.dtype)
    band = max(1, _BAND // width)
    for start in range(0, height, band):
        rows = slice(start, start + band)
        upper, lower = top[above[rows]], top[below[rows]]
        found = upper[:, left]
        torn = (found != upper[:, right]) | (found != lower[:, left]) | (found != lower[:, right])
        y, x = np.nonzero(torn)
        step = max(1, _VALUES // n_classes)
        for first in range(0, len(y), step):
            r, c = y[first : first + step] + start, x[first : first + step]
            s, t = down[r], across[c]
            values = flat[:, above[r] * w + left[c]] * ((1 - s) * (1 - t))
            values += flat[:, above[r] * w + right[c]] * ((1 - s) * t)
            values += flat[:, below[r] * w + left[c]] * (s * (1 - t))
            values += flat[:, below[r] * w + right[c]] * (s * t)
            found[r - start, c] = values.argmax(axis=0)
        mask[rows] = found
    return mask


def axis_weights(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each of ``new`` pixels the two nearest of ``old`` along an axis, and the share of the second.

    Centres of pixels are what is aligned, and nothing is beyond the outermost centres, as
    ``torch.nn.functional.interpolate`` has it.
    """
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), (place - first).astype(np.float32)


def _under(old: int, new: int) -> np.ndarray:
    return np.minimum(((np.arange(new) + 0.5) * (old / new)).astype(np.int64), old - 1)
