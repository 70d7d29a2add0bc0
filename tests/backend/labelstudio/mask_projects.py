"""Label configs, masks and annotations for the tests of projects with masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.labelstudio.config import find_kind
from backend.labelstudio.segmentation import SegmentationKind

IMAGE = '<Image name="img" value="$image"/>'
LABELS = '<Label value="cat"/><Label value="A dog" alias="dog"/>'
CLASSES = ("background", "cat", "dog")


def config(*tags: str, labels: str = LABELS, attributes: str = "") -> str:
    """Return a config with a control of each of these tags, named by its first letter."""
    controls = "".join(
        f'<{tag} name="{tag[0].lower()}" toName="img" {attributes}>{labels}</{tag}>' for tag in tags
    )
    return f"<View>{IMAGE}{controls}</View>"


BRUSH, POLYGON = config("BrushLabels"), config("PolygonLabels")


def mask_kind(label_config: str = BRUSH) -> SegmentationKind:
    """Return the kind of a config."""
    kind = find_kind(label_config)
    assert isinstance(kind, SegmentationKind)
    return kind


def blobs(shape: tuple[int, int], seed: int, classes: int = 3) -> np.ndarray:
    """Return a mask with overlapping discs and a ring, so that there are holes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=np.uint8)
    for number in [*range(1, classes), *range(1, classes)]:
        centre, radius = rng.uniform(0, 1, 2) * shape, rng.uniform(0.12, 0.4) * min(shape)
        away = np.hypot(y - centre[0], x - centre[1])
        mask[(away < radius) & (away > radius * rng.choice([0, 0.5]))] = number
    return mask


def polygon(points: Any, *labels: str, id: str = "p1", size: tuple[int, int] = (60, 80)) -> dict[str, Any]:
    """Return a polygon region; points in percent."""
    return {
        "id": id,
        "from_name": "p",
        "to_name": "img",
        "type": "polygonlabels",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {"points": points, "closed": True, "polygonlabels": list(labels)},
    }
