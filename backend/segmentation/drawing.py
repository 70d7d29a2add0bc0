"""From the probabilities of pixels to a prediction that people see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.labelstudio.segmentation import SegmentationKind
from backend.segmentation.network import Drawn

_FEWEST = 0.005  # share of an image below which a class is not named


def draw(kind: SegmentationKind, drawn: Drawn) -> list[dict[str, Any]]:
    """Return a mask as a Label Studio result; the score of a region is that of its class."""
    return kind.result(drawn.mask, dict(zip(kind.classes, drawn.scores.tolist(), strict=True)))


def in_words(classes: Sequence[str], shares: Sequence[float], implied: int | None = 0) -> str:
    """Return the classes of a mask by their share of the image in one line: ``road 41 %, car 3 %``.

    Parameters
    ----------
    classes : sequence of str
    shares : sequence of float
        In [0, 1].
    implied : int or None
        The class that is named only where there is nothing else.
    """
    found = [
        (share, name)
        for number, (name, share) in enumerate(zip(classes, shares, strict=True))
        if share >= _FEWEST and number != implied
    ]
    if not found and implied is not None:
        found = [(shares[implied], classes[implied])]
    return ", ".join(f"{name} {share:.0%}".replace("%", " %") for share, name in sorted(found, reverse=True))
