"""Predictions of a published pixel probe: features from disk and a product a pixel, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from backend.labelstudio.kind import Kind
from backend.labelstudio.segmentation import SegmentationKind
from backend.registry import Version
from backend.segmentation.drawing import draw
from backend.segmentation.places import open_pyramids
from backend.settings import Settings
from ml.segmentation.pixel_head import PixelProbe


class PixelAnswers:
    """A head on the features of pixels.

    Parameters
    ----------
    settings : Settings
    version : Version
    """

    def __init__(self, settings: Settings, version: Version) -> None:
        self.head = PixelProbe.from_arrays(version.arrays)
        self.pyramids = open_pyramids(settings, version.manifest["fingerprint"])

    def known(self, keys: Sequence[str]) -> np.ndarray:
        """Return of which images the features are on this machine."""
        return np.array([self.pyramids.has(key) for key in keys], dtype=bool)

    def predict(self, kind: Kind, keys: Sequence[str]) -> Iterator[tuple[list[dict[str, Any]], float] | None]:
        """Yield a mask as a result, and its confidence, an image at a time."""
        for key in keys:
            pyramid = self.pyramids.get(key)
            if pyramid is None:
                yield None
                continue
            probs = self.head.probabilities(pyramid)
            result = draw(cast(SegmentationKind, kind), probs, pyramid.size)
            yield result, float(probs.max(axis=0).mean())
