"""A mask beside a prediction: the objects of the one, and how probable the other finds each pixel's class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ml.masks.classes import MaskClasses

Box = tuple[slice, slice]
Piece = tuple[Box, np.ndarray]  # where in the mask, and which pixels there

_FLOOR = 1e-3  # of a probability: no pixel's word counts for more than a thousand to one
_LEAST_SHARE = 0.0005  # of a mask: smaller pieces are not looked at
_LEAST_PIXELS = 8
_LOOKED_AT = 60  # objects, the largest: a mask of a thousand grains has many like them
_EVERY = np.ones((3, 3), dtype=bool)
_RIM = 2


@dataclass(frozen=True)
class View:
    """A mask beside a prediction.

    Attributes
    ----------
    label : ndarray of int, shape (h, w)
        0 where the mask is to be ignored.
    known : ndarray of bool, shape (h, w)
        Where it is not.
    logs : ndarray of float32, shape (K, h, w)
        Logarithms of the predicted probabilities.
    own : ndarray of float32, shape (h, w)
        Those of the label.
    predicted : ndarray of int, shape (h, w)
    best, second : ndarray of float32, shape (h, w)
        The two highest of the logarithms; with a single class the same.
    classes : MaskClasses
    least : int
        Pixels of the smallest piece to look at.
    """

    label: np.ndarray
    known: np.ndarray
    logs: np.ndarray
    own: np.ndarray
    predicted: np.ndarray
    best: np.ndarray
    second: np.ndarray
    classes: MaskClasses
    least: int

    @classmethod
    def of(cls, label: np.ndarray, probs: np.ndarray, classes: MaskClasses) -> View:
        """Put a mask of shape (h, w) beside probabilities of shape (K, h, w)."""
        known = np.ones(label.shape, dtype=bool) if classes.ignore is None else label != classes.ignore
        label = np.where(known, label, 0).astype(np.int64)
        logs = np.log(np.maximum(probs, _FLOOR), dtype=np.float32)
        own = np.take_along_axis(logs, label[None], axis=0)[0]
        least = max(_LEAST_PIXELS, round(_LEAST_SHARE * label.size))
        predicted = logs.argmax(axis=0)
        best = np.take_along_axis(logs, predicted[None], axis=0)
        second = best
        if len(logs) > 1:  # in place, as a copy for fifty classes takes longer than all the rest
            np.put_along_axis(logs, predicted[None], -np.inf, axis=0)
            second = logs.max(axis=0, keepdims=True)
            np.put_along_axis(logs, predicted[None], best, axis=0)
        return cls(label, known, logs, own, predicted, best[0], second[0], classes, least)

    def objects(self) -> list[Piece]:
        """Return the connected pieces of drawn classes, the largest first."""
        found = []
        for number in self.classes.drawn_in(self.label).values():
            found += pieces_of((self.label == number) & self.known, self.least)
        return sorted(found, key=lambda piece: -np.count_nonzero(piece[1]))[:_LOOKED_AT]

    def lead(self, box: Box, number: int) -> np.ndarray:
        """Return how far a class is before the best other one in a part of the mask, in log-odds."""
        others = np.where(self.predicted[box] == number, self.second[box], self.best[box])
        return self.logs[(number, *box)] - others

    def rim_share(self, piece: Piece, number: int) -> float:
        """Return the share of the pixels around a piece that are labelled as a class, in [0, 1]."""
        wide, inside = self.widen(piece, _RIM)
        rim = ndimage.binary_dilation(inside, _EVERY, iterations=_RIM) & ~inside & self.known[wide]
        return float((self.label[wide][rim] == number).mean()) if rim.any() else 0.0

    def widen(self, piece: Piece, margin: int) -> Piece:
        """Return a piece in a box that is wider by a margin on all sides, as far as the mask goes."""
        (rows, columns), inside = piece
        height, width = self.label.shape
        top, bottom = max(0, rows.start - margin), min(height, rows.stop + margin)
        left, right = max(0, columns.start - margin), min(width, columns.stop + margin)
        around = ((rows.start - top, bottom - rows.stop), (columns.start - left, right - columns.stop))
        return (slice(top, bottom), slice(left, right)), np.pad(inside, around)


def pieces_of(region: np.ndarray, least: int) -> list[Piece]:
    """Return the connected pieces of a region, bool of shape (h, w), that have at least so many pixels."""
    numbered, count = ndimage.label(region)
    if not count:
        return []
    size = np.bincount(numbered.ravel())
    boxes = ndimage.find_objects(numbered)
    large = np.flatnonzero(size[1:] >= least).tolist()
    return [(boxes[one], numbered[boxes[one]] == one + 1) for one in large]
