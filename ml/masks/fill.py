"""Which pixels a polygon has: those whose centre it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.masks import MaskError

# beyond it a float no longer tells a pixel from the next
_FARTHEST = 1e9
_MOST_CROSSINGS = 20_000_000  # of an edge and a row: bounds the memory


@dataclass(frozen=True)
class Patch:
    """Some pixels of an image, kept as the box that holds them.

    Attributes
    ----------
    top, left : int
        The box's first row and column.
    inside : ndarray of bool, shape (h, w)
    """

    top: int
    left: int
    inside: np.ndarray

    @property
    def place(self) -> tuple[slice, slice]:
        """The box in the image."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def put(self, mask: np.ndarray, number: int) -> None:
        """Give the pixels a number in a mask of the image."""
        mask[self.place][self.inside] = number


_NOTHING = Patch(0, 0, np.zeros((0, 0), dtype=bool))


def fill(rings: Sequence[np.ndarray], shape: tuple[int, int], *, even_odd: bool = False) -> np.ndarray:
    """Return the pixels that closed rings have together, bool of ``shape``; `fill_patch` tells the rest."""
    filled = np.zeros(shape, dtype=bool)
    fill_patch(rings, shape, even_odd=even_odd).put(filled, True)
    return filled


def fill_patch(rings: Sequence[np.ndarray], shape: tuple[int, int], *, even_odd: bool = False) -> Patch:
    """Return the pixels that closed rings have together.

    Exact for the outlines of `ml.masks.outline`: what is filled is what was outlined. Rings may cross
    themselves, each other and the frame.

    Parameters
    ----------
    rings : sequence of ndarray of float, shape (k, 2)
        Points as (x, y) in pixels; the last is joined to the first.
    shape : (int, int)
        Height and width of the image.
    even_odd : bool
        A pixel is inside if a line from it outwards crosses the rings an odd number of times. Otherwise, as
        browsers and so Label Studio fill, if the rings wind around it: what two rings of one direction share
        is inside, and a ring of the other direction is a hole.

    Raises
    ------
    MaskError
        If a ring has fewer than three points, or one that is not a number or beyond 1e9 pixels, or if edges cross
        more than twenty million rows.
    """
    height, width = shape
    if not rings:
        return _NOTHING
    low, high, sign = _edges([_checked(ring) for ring in rings])
    # rows whose centre lies between an edge's ends, the upper included
    first = np.clip(np.ceil(low[:, 1] - 0.5), 0, height).astype(np.int64)
    count = np.maximum(np.clip(np.ceil(high[:, 1] - 0.5), 0, height).astype(np.int64) - first, 0)
    if not count.any():
        return _NOTHING
    if count.sum() > _MOST_CROSSINGS:
        raise MaskError(f"polygons cross {count.sum():,} rows of pixels; {_MOST_CROSSINGS:,} can be filled")
    edge = np.repeat(np.arange(len(low)), count)
    row = np.repeat(first - np.cumsum(count) + count, count) + np.arange(len(edge))
    # the lower end comes first whatever the direction: there and back along one line, all rows cross at one place
    slope = (high[edge, 0] - low[edge, 0]) / (high[edge, 1] - low[edge, 1])
    crossing = low[edge, 0] + (row + 0.5 - low[edge, 1]) * slope
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    turns = np.zeros((int(row.max()) + 1 - top, int(column.max()) + 1 - left), dtype=np.int32)
    np.add.at(turns, (row - top, column - left), sign[edge])
    winding = np.cumsum(turns, axis=1)[:, :-1]
    return Patch(top, left, winding & 1 > 0 if even_odd else winding != 0)


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
