"""One mask beside the probabilities of its pixels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.coco_rle import encode_coco
from ml.segmentation.metrics import confusion, dice_per_class, mean_dice
from ml.segmentation.sizes import shrink_mask
from ml.suspicion.masks.edits import Edit, find_edits
from ml.suspicion.masks.findings import SKETCH, MaskFindings, Part, strength

_KEPT = 12  # parts of a mask
_DIGITS = 5


def judge_mask(label: np.ndarray, probs: np.ndarray, classes: MaskClasses) -> MaskFindings:
    """Look at one mask: cleanlab's soft-minimum, Dice, and what the prediction would change.

    The soft-minimum of the probabilities of the given classes (Lad and Mueller, arXiv 2307.05080) is taken over the
    pixels that are not ignored. It says neither where nor what, and all but passes over large mild errors: so
    `ml.suspicion.masks.edits` looks for objects and boundaries.

    Parameters
    ----------
    label : ndarray of uint8 or uint16, shape (h, w)
        At work size (`ml.segmentation.sizes`).
    probs : ndarray of float, shape (K, h, w)
        Predicted without this mask; over the classes they sum to 1.
    classes : MaskClasses

    Raises
    ------
    MaskError
        If shapes do not fit, or the mask has numbers of no class.
    """
    count = len(classes.names)
    if label.ndim != 2 or probs.shape != (count, *label.shape):
        raise MaskError(
            f"a mask of shape {label.shape} with {count} classes has probabilities of shape "
            f"{(count, *label.shape)}, not {probs.shape}"
        )
    unknown = classes.unknown(label)
    if unknown:
        raise MaskError(f"the mask has numbers of no class: {', '.join(map(str, list(unknown)[:5]))}")
    predicted = probs.argmax(axis=0)
    known = label != classes.ignore if classes.ignore is not None else np.ones(label.shape, dtype=bool)
    pixels = max(int(np.count_nonzero(known)), 1)
    counts = confusion(label, predicted, count, classes.ignore)
    return MaskFindings(
        size=(label.shape[0], label.shape[1]),
        softmin=_softmin(label, probs, classes),
        dice=float(mean_dice(counts)),
        class_dice=_rounded(dice_per_class(counts)),
        label_shares=_rounded(counts.sum(axis=1) / pixels),
        shares=_rounded(counts.sum(axis=0) / pixels),
        confidence=round(float(probs.max(axis=0)[known].sum(dtype=np.float64)) / pixels, _DIGITS),
        parts=_parts(find_edits(label, probs, classes), (label.shape[0], label.shape[1])),
        sketch=shrink_mask(label, SKETCH).astype(np.uint16).tobytes(),
    )


def _softmin(label: np.ndarray, probs: np.ndarray, classes: MaskClasses) -> float:
    from cleanlab.segmentation.rank import get_label_quality_scores

    known = label != classes.ignore
    if not known.any():
        return 1.0
    # to cleanlab the pixels that count are an image of one row; where is nothing to it
    pixels = probs[:, known].astype(np.float64)
    pixels /= pixels.sum(axis=0)
    scores, _ = get_label_quality_scores(
        label[known].astype(np.int64)[None, None], pixels[None, :, None], verbose=False
    )
    return float(scores[0])


def _parts(edits: Iterable[Edit], shape: tuple[int, int]) -> tuple[Part, ...]:
    """The strongest edit of each reason and pair of classes, and of these the strongest."""
    best: dict[tuple[str, int, int], tuple[float, Edit]] = {}
    for edit in edits:
        key, value = (edit.reason, edit.given, edit.wanted), _odds_and_share(edit, shape)
        if edit.gain > 0 and (key not in best or strength(*value) > best[key][0]):
            best[key] = strength(*value), edit
    strongest = sorted(best.values(), key=lambda one: -one[0])[:_KEPT]
    return tuple(_part(edit, shape) for _, edit in strongest)


def _part(edit: Edit, shape: tuple[int, int]) -> Part:
    odds, share = _odds_and_share(edit, shape)
    box, inside = edit.piece
    region = np.zeros(shape, dtype=bool)
    region[box] = inside
    counts = encode_coco(region)["counts"]
    return Part(
        edit.reason, edit.number, edit.given, edit.wanted, round(odds, _DIGITS), round(share, 7), counts
    )


def _odds_and_share(edit: Edit, shape: tuple[int, int]) -> tuple[float, float]:
    return edit.gain / edit.pixels, edit.pixels / (shape[0] * shape[1])


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(values, _DIGITS).tolist())
