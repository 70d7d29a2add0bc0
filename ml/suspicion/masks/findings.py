"""What is kept of a mask that was looked at: small enough that ten thousand stay in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.masks.coco_rle import decode_coco

SKETCH = (24, 24)
_SIZE = 0.3  # power of a part's share: less than the half of independent pixels, as neighbours err together


def strength(odds: float, share: float) -> float:
    """Return how strong the evidence of a part is, from its mean log-odds and its share of the mask."""
    return float(odds * share**_SIZE)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a mask that a prediction would change.

    Attributes
    ----------
    reason : str
        One of `ml.suspicion.masks.REASONS`.
    number : int
        The class of the object it is about: of what is missing, extra, of a wrong class, or loosely drawn.
    given, wanted : int
        The class that most of its pixels have, and should have.
    odds : float
        Their mean log-odds of the wanted class against the given one.
    share : float
        Of the mask's pixels, in (0, 1].
    counts : str
        The pixels, as COCO's run-length code of work size.
    """

    reason: str
    number: int
    given: int
    wanted: int
    odds: float
    share: float
    counts: str

    @property
    def strength(self) -> float:
        """How strong the evidence is; comparable among masks of any size."""
        return strength(self.odds, self.share)


@dataclass(frozen=True, slots=True)
class MaskFindings:
    """What a prediction made of one mask.

    Attributes
    ----------
    size : (int, int)
        Height and width it was looked at, its work size.
    softmin : float
        cleanlab's score of the image, in [0, 1]: low where some pixels' classes are improbable.
    dice : float
        Of mask and prediction, the mean over classes that either has; NaN where neither has a pixel that counts.
    class_dice : tuple of float, length K
        By class; NaN where neither has it.
    label_shares, shares : tuple of float, length K
        Of the pixels that count, by class: as given, and as predicted. All 0 where none counts.
    confidence : float
        Mean probability of the classes predicted there, in [0, 1].
    parts : tuple of Part
        The strongest evidence first.
    sketch : bytes
        Classes of the mask on a grid of shape `SKETCH`, uint16, to tell whether two of one image are the same.
    """

    size: tuple[int, int]
    softmin: float
    dice: float
    class_dice: tuple[float, ...]
    label_shares: tuple[float, ...]
    shares: tuple[float, ...]
    confidence: float
    parts: tuple[Part, ...]
    sketch: bytes

    def region(self, part: Part) -> np.ndarray:
        """Return the pixels of a part, bool of shape `size`."""
        return decode_coco({"size": list(self.size), "counts": part.counts}, self.size)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN is None."""
        return {
            "size": list(self.size),
            "softmin": self.softmin,
            "dice": _plain(self.dice),
            "class_dice": [_plain(value) for value in self.class_dice],
            "label_shares": list(self.label_shares),
            "shares": list(self.shares),
            "confidence": self.confidence,
            "parts": [
                [part.reason, part.number, part.given, part.wanted, part.odds, part.share, part.counts]
                for part in self.parts
            ],
            "sketch": self.sketch.hex(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> MaskFindings:
        """Return what `to_json` was given."""
        height, width = plain["size"]
        return cls(
            (height, width),
            plain["softmin"],
            _number(plain["dice"]),
            tuple(map(_number, plain["class_dice"])),
            tuple(plain["label_shares"]),
            tuple(plain["shares"]),
            plain["confidence"],
            tuple(Part(*values) for values in plain["parts"]),
            bytes.fromhex(plain["sketch"]),
        )


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
