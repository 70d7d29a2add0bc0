"""Masks made wrong on purpose, the way people err: to measure what finds such masks, and to show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.distance import depth

_USUAL = 320.0  # pixels of the longer side that lengths are given for; others in proportion
_LEAST_SCALE = 0.4
_SHIFT = (5.0, 15.0)
_GROWTH = (3.0, 8.0)
_BLOB = (8.0, 22.0)  # radius
_LEAST_SHARE = 0.002  # of a mask: what is smaller is no object, and no damage
_LEAST_PIXELS = 12
_TRIES = 8


class Damage(NamedTuple):
    """A damaged mask.

    Attributes
    ----------
    mask : ndarray, shape (H, W)
        Of the type of the mask that was damaged.
    kind : str
        A name in `DAMAGES`.
    region : ndarray of bool, shape (H, W)
        The pixels that changed.
    """

    mask: np.ndarray
    kind: str
    region: np.ndarray


def damage_mask(
    mask: np.ndarray, classes: MaskClasses, rng: np.random.Generator, *, kind: str | None = None
) -> Damage:
    """Return a copy of a mask with one thing wrong. Ignored pixels stay.

    An object is a connected piece of a class that people draw, of at least 0.2 % of the mask. Where one goes
    away there is background, or without one the class nearest by. Lengths are for a longer side of 320 pixels and go
    with it, down to 0.4 of them: shifts of 5 to 15, rims of 3 to 8, blobs of radius 8 to 22.

    Parameters
    ----------
    mask : ndarray of uint8 or uint16, shape (H, W)
    classes : MaskClasses
    rng : numpy.random.Generator
    kind : str, optional
        A name in `DAMAGES`. Default: drawn by lot among those that can be done to this mask.

    Raises
    ------
    MaskError
        If nothing of the kind can be done to this mask: there is no object, or no other class.
    ValueError
        If there is no such kind.
    """
    if kind is not None and kind not in DAMAGES:
        raise ValueError(f"no damage {kind!r}: there are {', '.join(DAMAGES)}")
    least = max(_LEAST_PIXELS, round(_LEAST_SHARE * mask.size))
    pieces = _objects(mask, classes, least)
    for name in rng.permutation(list(DAMAGES)) if kind is None else [kind]:
        for _ in range(_TRIES):
            damaged = DAMAGES[str(name)](mask, pieces, classes, rng)
            if damaged is None:
                continue
            if classes.ignore is not None:
                damaged[mask == classes.ignore] = classes.ignore
            region = damaged != mask
            if np.count_nonzero(region) >= least:
                return Damage(damaged, str(name), region)
    raise MaskError(
        f"nothing can be damaged{'' if kind is None else f' by {kind!r}'}: "
        f"{len(pieces)} objects, {len(classes.drawn)} classes that are drawn"
    )


def _objects(mask: np.ndarray, classes: MaskClasses, least: int) -> list[np.ndarray]:
    pieces = []
    for number in classes.drawn_in(mask).values():
        numbered, _ = ndimage.label(mask == number)
        sizes = np.bincount(numbered.ravel())
        pieces += [numbered == one for one in np.flatnonzero(sizes >= least) if one]
    return pieces


_Pieces = list[np.ndarray]


def _dropped(
    mask: np.ndarray, pieces: _Pieces, classes: MaskClasses, rng: np.random.Generator
) -> np.ndarray | None:
    piece = _one_of(pieces, rng)
    return None if piece is None else _without(mask, piece, classes)


def _swapped(
    mask: np.ndarray, pieces: _Pieces, classes: MaskClasses, rng: np.random.Generator
) -> np.ndarray | None:
    piece = _one_of(pieces, rng)
    if piece is None:
        return None
    others = [number for number in classes.drawn.values() if number != mask[piece][0]]
    return np.where(piece, rng.choice(others), mask).astype(mask.dtype) if others else None


def _shifted(
    mask: np.ndarray, pieces: _Pieces, classes: MaskClasses, rng: np.random.Generator
) -> np.ndarray | None:
    piece = _one_of(pieces, rng)
    if piece is None:
        return None
    length, angle = rng.uniform(*_SHIFT) * _scale(mask), rng.uniform(0, 2 * np.pi)
    rows, columns = np.nonzero(piece)
    rows, columns = rows + round(length * np.sin(angle)), columns + round(length * np.cos(angle))
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved = _without(mask, piece, classes)
    if moved is not None:
        moved[rows[inside], columns[inside]] = mask[piece][0]
    return moved


def _resized(
    mask: np.ndarray, pieces: _Pieces, classes: MaskClasses, rng: np.random.Generator
) -> np.ndarray | None:
    piece = _one_of(pieces, rng)
    if piece is None:
        return None
    reach = rng.uniform(*_GROWTH) * _scale(mask)
    if rng.random() < 0.5:
        grown = depth(~piece) <= reach
        return np.where(grown, mask[piece][0], mask).astype(mask.dtype)
    # beyond the edge of the image the object may go on, so nothing is taken off there
    kept = depth(np.pad(piece, 1, mode="edge"))[1:-1, 1:-1] > reach
    return _without(mask, piece & ~kept, classes) if kept.any() else None


def _blob(
    mask: np.ndarray, pieces: _Pieces, classes: MaskClasses, rng: np.random.Generator
) -> np.ndarray | None:
    radius = rng.uniform(*_BLOB) * _scale(mask)
    rows, columns = np.indices(mask.shape) - (rng.random(2) * mask.shape)[:, None, None]
    angle = np.arctan2(rows, columns)
    waves = sum(rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) / k for k in (2, 3, 4))
    blob = np.hypot(rows, columns) < radius * np.maximum(1 + 0.3 * waves, 0.4)
    under = np.bincount(mask[blob], minlength=1)
    others = [number for number in classes.drawn.values() if number != int(under.argmax())]
    return np.where(blob, rng.choice(others), mask).astype(mask.dtype) if others and blob.any() else None


def _one_of(pieces: _Pieces, rng: np.random.Generator) -> np.ndarray | None:
    return pieces[rng.integers(len(pieces))] if pieces else None


def _without(mask: np.ndarray, piece: np.ndarray, classes: MaskClasses) -> np.ndarray | None:
    """The mask without a piece; None where there is nothing to put in its place."""
    if classes.implied:
        return np.where(piece, 0, mask).astype(mask.dtype)
    known = ~piece if classes.ignore is None else ~piece & (mask != classes.ignore)
    if not known.any():
        return None
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    filled: np.ndarray = np.where(piece, mask[tuple(nearest)], mask).astype(mask.dtype)
    return filled


def _scale(mask: np.ndarray) -> float:
    return max(max(mask.shape) / _USUAL, _LEAST_SCALE)


DAMAGES: dict[str, Callable[..., np.ndarray | None]] = {
    "dropped": _dropped,
    "swapped": _swapped,
    "shifted": _shifted,
    "resized": _resized,
    "blob": _blob,
}
