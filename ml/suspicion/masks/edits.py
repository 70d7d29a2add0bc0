"""What a prediction would change in a mask: each change a region, with the evidence that it is due.

An *edit* replaces the classes of some pixels by others. Its gain is by how much that makes the mask more probable:
the sum, over its pixels, of the predicted log-odds of the new class against the old.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ml.masks.classes import MaskClasses
from ml.suspicion.masks.boundary import move_boundary
from ml.suspicion.masks.view import Piece, View, pieces_of

MISSING = "object missing"
EXTRA = "object extra"
WRONG = "wrong class"
LOOSE = "loose boundary"
REASONS = (MISSING, EXTRA, WRONG, LOOSE)

_THICK = 0.006  # of the longer side: half the width below which a difference is a rim, not an object
_OUTLINED = 4  # times the smallest piece: below that an object is hardly more than its boundary
_SAME = 0.5  # of a rim, or of an object
_ALONG = (
    0.25  # of a rim: what has so much of its own class around it is no object by itself, but a part of one
)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change that a prediction would make to a mask.

    Attributes
    ----------
    reason : str
        One of `REASONS`.
    number : int
        The class of the object it is about: of what is missing, extra, of a wrong class, or loosely drawn.
    given, wanted : int
        The class that most of its pixels have, and should have.
    gain : float
        In log-odds; positive.
    piece : (box, ndarray of bool)
        Which pixels change.
    """

    reason: str
    number: int
    given: int
    wanted: int
    gain: float
    piece: Piece

    @property
    def pixels(self) -> int:
        """How many change."""
        return int(np.count_nonzero(self.piece[1]))


def find_edits(label: np.ndarray, probs: np.ndarray, classes: MaskClasses) -> Iterator[Edit]:
    """Yield the changes that would make a mask more probable; several may be about one place.

    Parameters
    ----------
    label : ndarray of uint8 or uint16, shape (h, w)
    probs : ndarray of float, shape (K, h, w)
        Predicted without this mask.
    classes : MaskClasses
    """
    view = View.of(label, probs, classes)
    objects = view.objects()
    for piece in objects:
        # where an object is none of its class, its boundary is not the matter
        either = [_another_class(view, piece), _another_boundary(view, piece)]
        yield from sorted(filter(None, either), key=lambda edit: -edit.gain)[:1]
    yield from _differences(view, objects)


def _another_class(view: View, piece: Piece) -> Edit | None:
    """The whole object has another class, or is not there: then what is around it goes on."""
    box, inside = piece
    number = int(view.label[box][inside][0])
    sums = view.logs[(slice(None), *box)][:, inside].sum(axis=1, dtype=np.float64)
    best = int(sums.argmax())
    if best == number:
        return None
    nothing = view.classes.implied and best == 0
    reason = EXTRA if nothing or view.rim_share(piece, best) >= _SAME else WRONG
    return Edit(reason, number, number, best, float(sums[best] - sums[number]), piece)


def _another_boundary(view: View, piece: Piece) -> Edit | None:
    box, inside = piece
    number = int(view.label[box][inside][0])
    if np.count_nonzero(inside) < _OUTLINED * view.least:
        return None
    found = move_boundary(view, piece, number)
    if found is None:
        return None
    moved, gain = found
    return _edit(view, LOOSE, number, gain, moved)


def _differences(view: View, objects: list[Piece]) -> Iterator[Edit]:
    """What only one of label and prediction has, where it is more than a rim and no whole object of the label."""
    differs = (view.predicted != view.label) & view.known
    owner = np.zeros(view.label.shape, dtype=np.int64)
    for name, (box, inside) in enumerate(objects, 1):
        owner[box][inside] = name
    size = np.bincount(owner.ravel())
    for reason, source in ((MISSING, view.predicted), (EXTRA, view.label)):
        for number in np.unique(source[differs]).tolist():
            if view.classes.implied and number == 0:
                continue
            for piece in _thick(view, differs & (source == number)):
                box, inside = piece
                held = np.bincount(owner[box][inside], minlength=len(size))
                most = int(held[1:].argmax()) + 1 if len(held) > 1 else 0
                if most and held[most] > _SAME * max(size[most], np.count_nonzero(inside)):
                    continue
                alike = view.rim_share(piece, number)
                if alike < _SAME:  # otherwise it fills a gap in what is right
                    gain = view.logs[(slice(None), *box)].max(axis=0) - view.own[box]
                    total = float(gain[inside].sum(dtype=np.float64))
                    yield _edit(view, reason if alike < _ALONG else LOOSE, number, total, piece)


def _thick(view: View, region: np.ndarray) -> Iterator[Piece]:
    """The pieces of a region without what is as thin as a rim."""
    reach = max(1.0, _THICK * max(region.shape))
    for box, inside in pieces_of(region, view.least):
        core = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1] > reach
        if core.any():
            opened = inside & (ndimage.distance_transform_edt(~core) <= reach)
            for (rows, columns), part in pieces_of(opened, view.least):
                top, left = box[0].start, box[1].start
                place = (
                    slice(top + rows.start, top + rows.stop),
                    slice(left + columns.start, left + columns.stop),
                )
                yield place, part


def _edit(view: View, reason: str, number: int, gain: float, piece: Piece) -> Edit:
    box, inside = piece
    given, wanted = (int(np.bincount(one[box][inside]).argmax()) for one in (view.label, view.predicted))
    return Edit(reason, number, given, wanted, gain, piece)
