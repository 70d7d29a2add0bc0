"""Pictures of shapes with their masks on disk, some of them damaged on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.damage import damage_mask
from ml.masks.png import write_png

CLASSES = MaskClasses(("background", "disc", "square", "bar"))
_COLOURS = np.array([[92, 104, 92], [196, 92, 70], [78, 120, 200], [214, 190, 84]])
HEIGHT, WIDTH = 64, 88


def scene(seed: int) -> tuple[Image.Image, np.ndarray]:
    """Return a noisy picture of two or three shapes, and its mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(rng.integers(2, 4)):
        number = int(rng.integers(1, 4))
        top, left, size = rng.uniform(12, HEIGHT - 12), rng.uniform(14, WIDTH - 14), rng.uniform(7, 13)
        inside = {
            1: np.hypot(y - top, x - left) < size,
            2: np.maximum(abs(y - top), abs(x - left)) < size * 0.9,
            3: (abs(y - top) < size * 0.5) & (abs(x - left) < size * 1.8),
        }[number]
        mask[inside] = number
    colours = _COLOURS[mask] + rng.normal(0, 10, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)), mask


def make_damaged(folder: Path, count: int = 100, share: float = 0.15, seed: int = 0) -> dict[str, str]:
    """Write a set in MMSegmentation's layout, one image in five for validation; return what was damaged, and how."""
    rng = np.random.default_rng(seed)
    damaged = set(rng.permutation(count)[: round(share * count)].tolist())
    kinds = {}
    for number in range(count):
        part = "val" if number % 5 == 4 else "train"
        image, mask = scene(1000 * seed + number)
        if number in damaged:
            try:
                mask, kind, _ = damage_mask(mask, CLASSES, rng)
                kinds[f"{part}/{number:03d}.png"] = kind
            except MaskError:
                pass
        for place in ("img", "labels"):
            (folder / place / part).mkdir(parents=True, exist_ok=True)
        image.save(folder / "img" / part / f"{number:03d}.png")
        (folder / "labels" / part / f"{number:03d}.png").write_bytes(write_png(mask))
    (folder / "classes.txt").write_text("\n".join(CLASSES.names) + "\n", encoding="utf-8")
    return kinds
