"""Outlines of a mask along the edges of its pixels, with holes: exact, so that filling them gives the mask again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# of the four pixels around a corner, upper left 1, upper right 2, lower left 4, lower right 8: where the outline
# comes from and goes to, as it keeps the mask on its right; 0 rightwards, 1 down, 2 left, 3 up. Where two pixels
# touch by their corners alone, each has a turn of its own: they are apart, and the gaps beside them are one
_TURNS = {
    1: [(1, 2)],
    2: [(2, 3)],
    4: [(0, 1)],
    8: [(3, 0)],
    7: [(2, 1)],
    11: [(3, 2)],
    13: [(1, 0)],
    14: [(0, 3)],
    9: [(1, 2), (3, 0)],
    6: [(2, 3), (0, 1)],
}
_NONE = 4


@dataclass(frozen=True)
class Outline:
    """One connected piece of a mask.

    Attributes
    ----------
    outer : ndarray of float, shape (k, 2)
        Corners as (x, y), clockwise as one sees it.
    holes : list of ndarray of float, shape (k, 2)
        Counter-clockwise.
    """

    outer: np.ndarray
    holes: list[np.ndarray] = field(default_factory=list)

    @property
    def rings(self) -> list[np.ndarray]:
        """The outer ring, and those of the holes."""
        return [self.outer, *self.holes]


def outlines(mask: np.ndarray) -> list[Outline]:
    """Return the outlines of a mask's pieces, from top to bottom and left to right.

    Pixels that touch by a corner alone are of different pieces. Corners are whole numbers.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    rings, holes = _rings(part)
    shift = np.array([left, top], dtype=np.float64)
    outers = [ring for ring, hole in zip(rings, holes, strict=True) if not hole]
    found = [Outline(ring + shift) for ring in outers]
    if len(outers) < len(rings):
        owner = _pieces(part, outers)
        for ring, hole in zip(rings, holes, strict=True):
            if hole:
                found[owner[_inside(ring, part)]].holes.append(ring + shift)
    return found


def ring_area(ring: np.ndarray) -> float:
    """Return the signed area of a ring, shape (k, 2), positive if it is clockwise as one sees it."""
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - np.roll(x, -1) @ y) / 2


def _rings(part: np.ndarray) -> tuple[list[np.ndarray], list[bool]]:
    """Return rings around and in a mask whose rim is empty, and whether each is a hole's."""
    points, comes, goes = _corners(part)
    after = _links(points, comes, goes)
    order, lengths = _walk(after)
    rings = np.split(points[order].astype(np.float64), np.cumsum(lengths)[:-1])
    return rings, [ring_area(ring) < 0 for ring in rings]


def _corners(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every turn of the outline: its corner (x, y), and the directions it comes and goes in."""
    part = part.view(np.uint8)
    code = part[:-1, :-1] | part[:-1, 1:] << 1 | part[1:, :-1] << 2 | part[1:, 1:] << 3
    table = np.full((2, 16, 2), _NONE, dtype=np.uint8)
    for number, turns in _TURNS.items():
        table[: len(turns), number] = turns
    y, x = np.nonzero(table[0, :, 0][code] != _NONE)
    here = code[y, x]
    again = table[1, here, 0] != _NONE
    points = np.concatenate([np.stack([x, y], axis=1), np.stack([x[again], y[again]], axis=1)])
    turned = np.concatenate([table[0, here], table[1, here[again]]])
    order = np.lexsort((points[:, 0], points[:, 1]))
    return points[order], turned[order, 0], turned[order, 1]


def _links(points: np.ndarray, comes: np.ndarray, goes: np.ndarray) -> np.ndarray:
    """Return for every turn the next one of its outline.

    Edges of one direction do not overlap, so along each line the first that goes meets the first that comes, and so
    on: sorted by line and place, the two lists are pairs.
    """
    after = np.empty(len(points), dtype=np.int64)
    by_column = np.lexsort((points[:, 1], points[:, 0]))
    for direction in range(4):
        if direction % 2:
            begin, end = by_column[goes[by_column] == direction], by_column[comes[by_column] == direction]
        else:
            begin, end = np.flatnonzero(goes == direction), np.flatnonzero(comes == direction)
        after[begin] = end
    return after


def _walk(after: np.ndarray) -> tuple[list[int], list[int]]:
    """Return the turns ring by ring, and the length of each ring."""
    following = after.tolist()
    seen = bytearray(len(following))
    order: list[int] = []
    lengths = []
    for start in range(len(following)):
        if seen[start]:
            continue
        begin, place = len(order), start
        while not seen[place]:
            seen[place] = 1
            order.append(place)
            place = following[place]
        lengths.append(len(order) - begin)
    return order, lengths


def _inside(ring: np.ndarray, part: np.ndarray) -> int:
    """Return a pixel of the mask, by its place in it, that lies right of the ring's first edge."""
    (x, y), (x_next, y_next) = ring[0].astype(int), ring[1].astype(int)
    if y == y_next:
        row, column = (y, x) if x_next > x else (y - 1, x - 1)
    else:
        row, column = (y, x - 1) if y_next > y else (y - 1, x)
    return int((row + 1) * part.shape[1] + column + 1)


def _pieces(part: np.ndarray, outers: list[np.ndarray]) -> _Owner:
    from scipy.ndimage import label

    numbers, _ = label(part)
    numbers = numbers.ravel()
    return _Owner(numbers, {int(numbers[_inside(ring, part)]): index for index, ring in enumerate(outers)})


@dataclass(frozen=True)
class _Owner:
    """From a pixel to the outline of its piece."""

    numbers: np.ndarray
    of_number: dict[int, int]

    def __getitem__(self, place: int) -> int:
        return self.of_number[int(self.numbers[place])]
