"""Predictions of a published pixel probe: features from disk and a product a pixel, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from backend.labelstudio.kind import Kind
from backend.labelstudio.segmentation import SegmentationKind
from backend.registry import Version
from backend.segmentation.drawing import draw
from backend.segmentation.network import Drawn, DrawnMasks
from backend.segmentation.places import open_pyramids
from backend.settings import Settings
from ml.segmentation.pixel_head import PixelProbe


class PixelAnswers:
    """A head on the features of pixels, or what the project's own network has drawn.

    Parameters
    ----------
    settings : Settings
    project_id : int
    version : Version
    """

    def __init__(self, settings: Settings, project_id: int, version: Version) -> None:
        self.head = PixelProbe.from_arrays(version.arrays)
        self.pyramids = open_pyramids(settings, version.manifest["fingerprint"])
        network = version.manifest.get("backbone")
        self.drawn = DrawnMasks(settings.project_dir(project_id), network) if network else None

    def known(self, keys: Sequence[str]) -> np.ndarray:
        """Return of which images the features, or the masks, are on this machine."""
        there = self.drawn or self.pyramids
        return np.array([there.has(key) for key in keys], dtype=bool)

    def predict(self, kind: Kind, keys: Sequence[str]) -> Iterator[tuple[list[dict[str, Any]], float] | None]:
        """Yield a mask as a result, and its confidence, an image at a time."""
        for key in keys:
            drawn = self.drawn.get(key) if self.drawn else self._probed(key)
            if drawn is None:
                yield None
                continue
            present = np.bincount(drawn.mask.ravel(), minlength=len(drawn.scores)) / drawn.mask.size
            yield draw(cast(SegmentationKind, kind), drawn), float((present * drawn.scores).sum())

    def _probed(self, key: str) -> Drawn | None:
        pyramid = self.pyramids.get(key)
        return None if pyramid is None else Drawn.of(self.head.probabilities(pyramid), pyramid.size)
