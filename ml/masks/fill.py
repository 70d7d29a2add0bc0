"""Which pixels a polygon has: those whose centre it holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.masks import MaskError

# beyond it a float no longer tells a pixel from the next
_FARTHEST = 1e9


def fill(rings: Sequence[np.ndarray], shape: tuple[int, int], *, even_odd: bool = False) -> np.ndarray:
    """Return the pixels that closed rings have together, bool of ``shape``.

    Exact for the outlines of `ml.masks.outline`: what is filled is what was outlined. Rings may cross
    themselves, each other and the frame.

    Parameters
    ----------
    rings : sequence of ndarray of float, shape (k, 2)
        Points as (x, y) in pixels; the last is joined to the first.
    shape : (int, int)
        Height and width.
    even_odd : bool
        A pixel is inside if a line from it outwards crosses the rings an odd number of times. Otherwise, as
        browsers and so Label Studio fill, if the rings wind around it: what two rings of one direction share
        is inside, and a ring of the other direction is a hole.

    Raises
    ------
    MaskError
        If a ring has fewer than three points, or one that is not a number or beyond 1e9 pixels.
    """
    height, width = shape
    filled = np.zeros(shape, dtype=bool)
    if not rings:
        return filled
    low, high, sign = _edges([_checked(ring) for ring in rings])
    # rows whose centre lies between an edge's ends, the upper included
    first = np.clip(np.ceil(low[:, 1] - 0.5), 0, height).astype(np.int64)
    count = np.maximum(np.clip(np.ceil(high[:, 1] - 0.5), 0, height).astype(np.int64) - first, 0)
    if not count.any():
        return filled
    edge = np.repeat(np.arange(len(low)), count)
    row = np.repeat(first - np.cumsum(count) + count, count) + np.arange(len(edge))
    # the lower end comes first whatever the direction: there and back along one line, all rows cross at one place
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    crossing = low[edge, 0] + (row + 0.5 - low[edge, 1]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    bottom, right = int(row.max()) + 1, int(column.max())
    turns = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    np.add.at(turns, (row - top, column - left), sign[edge])
    winding = np.cumsum(turns, axis=1)[:, :-1]
    filled[top:bottom, left:right] = winding & 1 if even_odd else winding != 0
    return filled


def _checked(ring: np.ndarray) -> np.ndarray:
    if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 3:
        raise MaskError(f"a polygon has three points (x, y) or more, not an array of {ring.shape}")
    if not (np.abs(ring) <= _FARTHEST).all():
        raise MaskError("a polygon has a point that is not a number, or too far away")
    return ring.astype(np.float64, copy=False)


def _edges(rings: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each edge's upper and lower end, float (n, 2), and 1 where it goes up, -1 where it goes down."""
    begin = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    up = begin[:, 1] > end[:, 1]
    low, high = np.where(up[:, None], end, begin), np.where(up[:, None], begin, end)
    return low, high, np.where(up, 1, -1).astype(np.int32)
