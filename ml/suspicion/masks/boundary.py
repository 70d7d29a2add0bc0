"""Where an object's boundary would be more probable: shifted as a whole, or wider or narrower all around."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ml.masks.distance import depth
from ml.suspicion.masks.view import Piece, View

_REACHES = (0.008, 0.016, 0.028, 0.042)  # of the longer side
_DIRECTIONS = 8
_FINE = 80  # steps that the longer side is searched in


class _Move(NamedTuple):
    reach: float  # of the longer side; negative: inwards
    angle: float | None = None  # None: all around


_MOVES = [_Move(sign * reach) for reach in _REACHES for sign in (1.0, -1.0)] + [
    _Move(reach, angle)
    for reach in _REACHES
    for angle in np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False).tolist()
]


def move_boundary(view: View, piece: Piece, number: int) -> tuple[Piece, float] | None:
    """Return the pixels that the best move of an object's boundary changes, and what it gains; None without a gain.

    The best is the one with the most gain beside what chance would give, which grows with the root of the
    number of pixels. It is searched for on a coarse grid.

    Parameters
    ----------
    view : View
    piece : Piece
        An object of the mask.
    number : int
        Its class.
    """
    side = max(view.label.shape)
    wide, inside = view.widen(piece, int(np.ceil(max(_REACHES) * side)) + 1)
    free = view.known[wide] & ((view.label[wide] != number) | inside)
    lead = view.lead(wide, number)
    gains = np.where(free, np.where(inside, -lead, lead), np.float32(0))  # of a pixel that changes sides
    step = max(1, side // _FINE)
    coarse = (slice(step // 2, None, step),) * 2
    if not inside[coarse].any():  # thin enough to lie between the grid's lines
        step, coarse = 1, (slice(None),) * 2
    shape, few = _Shape(inside[coarse], side / step), gains[coarse]
    best, chosen = 0.0, None
    for move in _MOVES:
        changed = shape.after(move) != shape.inside
        gain = float(few[changed].sum())
        if gain > 0:
            value = gain / np.sqrt(np.count_nonzero(changed))
            if value > best:
                best, chosen = value, move
    if chosen is None:
        return None
    changed = (_Shape(inside, side).after(chosen) != inside) & free
    gain = float(gains[changed].sum(dtype=np.float64))
    return ((wide, changed), gain) if gain > 0 and np.count_nonzero(changed) >= view.least else None


@dataclass(frozen=True)
class _Shape:
    inside: np.ndarray
    side: float

    @cached_property
    def _most(self) -> int:
        return int(np.ceil(max(_REACHES) * self.side))

    @cached_property
    def _wide(self) -> np.ndarray:
        # beyond the edge of the image the object may go on
        return np.pad(self.inside, self._most, mode="edge")

    @cached_property
    def _out(self) -> np.ndarray:
        return depth(~self.inside)

    @cached_property
    def _deep(self) -> np.ndarray:
        return depth(np.pad(self.inside, 1, mode="edge"))[1:-1, 1:-1]

    def after(self, move: _Move) -> np.ndarray:
        """Which pixels are inside after a move; unchanged where nothing would be left."""
        reach = move.reach * self.side
        if move.angle is not None:
            down, right = round(reach * np.sin(move.angle)), round(reach * np.cos(move.angle))
            top, left = self._most - down, self._most - right
            height, width = self.inside.shape
            return self._wide[top : top + height, left : left + width]
        if reach > 0:
            return self._out <= reach
        left = self._deep > -reach
        return left if left.any() else self.inside
