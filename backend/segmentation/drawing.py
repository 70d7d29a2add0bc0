"""From the probabilities of pixels to a prediction that people see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.labelstudio.segmentation import SegmentationKind
from ml.segmentation.sizes import enlarge_probs_to_mask

_FEWEST = 0.005  # share of an image below which a class is not named


def draw(kind: SegmentationKind, probs: np.ndarray, shape: tuple[int, int]) -> list[dict[str, Any]]:
    """Return a prediction at an image's own size as a Label Studio result.

    The score of a region is the mean probability of its class where it is drawn.

    Parameters
    ----------
    kind : SegmentationKind
    probs : ndarray of float32, shape (K, h, w)
        At work size.
    shape : (int, int)
        Height and width of the image, upright.
    """
    top = probs.argmax(axis=0)
    sure = {
        name: float(probs[number][top == number].mean()) if (top == number).any() else 0.0
        for number, name in enumerate(kind.classes)
    }
    return kind.result(enlarge_probs_to_mask(probs, shape), sure)


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
