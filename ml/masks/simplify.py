"""Rings with fewer points that stay within a tolerance (Douglas and Peucker 1973), all at a time.

Where a chord between two kept points leaves out a point farther away than the tolerance, the farthest is kept, until
there is none. All chords of all rings are looked at together, so the number of passes is that of the deepest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_FINEST = 1e-3  # less than this is no tolerance


def simplify(rings: Sequence[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Return rings with fewer points, each a part of the given ones in their order.

    No point of a ring is farther than the tolerance from the chord that stands for it. A ring of which nothing
    would be left is thinned by half the tolerance, and so on: small things do not vanish.

    Parameters
    ----------
    rings : sequence of ndarray of float, shape (k, 2)
        Closed; the last point is joined to the first.
    tolerance : float
        In the unit of the points.
    """
    if tolerance < _FINEST or not rings:
        return list(rings)
    thinned = _thin(rings, tolerance)
    gone = [place for place, ring in enumerate(thinned) if len(ring) < 3 or not _has_area(ring)]
    for place, ring in zip(gone, simplify([rings[place] for place in gone], tolerance / 2), strict=True):
        thinned[place] = ring
    return thinned


def _thin(rings: Sequence[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Return what is left of rings, which may be two points."""
    sizes = np.array([len(ring) for ring in rings])
    closed = np.concatenate([np.concatenate([ring, ring[:1]]) for ring in rings])
    begins = np.cumsum(sizes + 1) - (sizes + 1)
    kept = np.zeros(len(closed), dtype=bool)
    kept[begins] = kept[begins + sizes] = True
    kept[_farthest(closed, begins)] = True
    while True:
        chords = np.flatnonzero(kept)
        chord = np.cumsum(kept) - 1
        start = closed[chords[chord]]
        end = closed[chords[np.minimum(chord + 1, len(chords) - 1)]]
        distances = np.where(kept, 0.0, _distances(closed, start, end))
        worst = np.maximum.reduceat(distances, chords)
        # the first of equally far ones, so that an answer hangs on nothing but the ring
        far = np.flatnonzero((distances == worst[chord]) & (worst[chord] > tolerance))
        if not len(far):
            break
        _, first = np.unique(chord[far], return_index=True)
        kept[far[first]] = True
    kept[begins + sizes] = False
    return [
        ring[kept[begin : begin + size]]
        for ring, begin, size in zip(rings, begins.tolist(), sizes.tolist(), strict=True)
    ]


def _farthest(closed: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return the place of each ring's point that is farthest from its first."""
    lengths = np.diff(begins, append=len(closed))
    away = np.square(closed - np.repeat(closed[begins], lengths, axis=0)).sum(axis=1)
    ring = np.repeat(np.arange(len(begins)), lengths)
    far = np.flatnonzero(away == np.maximum.reduceat(away, begins)[ring])
    _, first = np.unique(ring[far], return_index=True)
    found: np.ndarray = far[first]
    return found


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return how far points are from the lines between two points each, not from what lies beyond."""
    line, offset = end - start, points - start
    length = np.square(line).sum(axis=1)
    along = np.clip((offset * line).sum(axis=1) / np.where(length > 0, length, 1.0), 0.0, 1.0)
    distances: np.ndarray = np.hypot(*(offset - along[:, None] * line).T)
    return distances


def _has_area(ring: np.ndarray) -> bool:
    x, y = (ring - ring[0]).T
    return bool(abs(x @ np.roll(y, -1) - np.roll(x, -1) @ y) > 1e-9)
