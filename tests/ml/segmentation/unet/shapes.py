"""Discs and boxes on a noisy ground, 64 pixels wide, as a set of masks on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml.masks.png import write_png
from ml.segmentation.unet.config import UNetConfig
from ml.training.yaml_file import check_config_of

NAMES = ("background", "disc", "box")
SHAPE = (48, 64)
# an encoder that is small, from scratch, and quick to learn
SMALL: dict[str, Any] = {
    "Model.class_name": "test_resnet",
    "Model.weights": "scratch",
    "Model.decoder": [32, 24, 16, 16, 16],
    "Training.epochs": 2,
    "Training.batch_size": 4,
    "Training.lr": 4e-3,
    "Training.precision": "fp32",
    "Training.num_workers": 0,
    "Dataset.side": 64,
}


def config(**changes: Any) -> UNetConfig:
    return check_config_of(UNetConfig, {}, SMALL | changes)


def scene(seed: int, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, uint8 of shape (*shape, 3), and its mask: a disc and a box."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=np.uint8)
    side = min(shape)
    y, x, radius = rng.integers(side // 4, side // 2), rng.integers(side // 4, side // 2), side // 5
    mask[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 1
    top, left = rng.integers(side // 3, side // 2), rng.integers(side // 2, shape[1] - side // 4)
    mask[top : top + side // 4, left : left + side // 4] = 2
    colours = np.array([(90, 90, 90), (190, 120, 60), (70, 120, 190)])
    pixels = colours[mask] + rng.normal(0, 12, (*shape, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), mask


def shapes(folder: Path, counts: dict[str, int] | None = None, *, ignored: int = 0) -> Path:
    """Write a set; with ``ignored``, so many rows at the top of the masks are not labelled."""
    for part, count in (counts or {"train": 16, "val": 6, "test": 4}).items():
        for place in ("img", "labels"):
            (folder / place / part).mkdir(parents=True)
        for number in range(count):
            image, mask = scene(len(part) * 1000 + number)
            mask[:ignored] = 255
            Image.fromarray(image).save(folder / "img" / part / f"{number:02}.png")
            (folder / "labels" / part / f"{number:02}.png").write_bytes(write_png(mask))
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return folder
