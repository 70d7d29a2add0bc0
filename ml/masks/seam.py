"""A polygon with holes as one ring, for what knows no holes: a seam of no width leads to each hole and back."""

from __future__ import annotations

import numpy as np

from ml.masks.outline import Outline


def seam(outline: Outline) -> np.ndarray:
    """Return one ring, shape (k, 2), that has the same pixels under either rule of `ml.masks.fill.fill`.

    A hole is joined where it is near to what is joined already. What a seam crosses on its way does not matter:
    it is crossed there and back.

    Parameters
    ----------
    outline : Outline
        The rings of the holes go around the other way than the outer one.
    """
    ring = outline.outer
    for hole in outline.holes:
        at = _nearest(ring, hole[0])
        into = _nearest(hole, ring[at])
        around = np.roll(hole, -into, axis=0)
        ring = np.concatenate([ring[: at + 1], around, around[:1], ring[at:]])
    return ring


def _nearest(points: np.ndarray, point: np.ndarray) -> int:
    return int(np.square(points - point).sum(axis=1).argmin())
