"""A small set of masks on disk, in MMSegmentation's layout."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ml.masks.png import write_png

NAMES = ("background", "cat", "dog")
SIDEWAYS = 6  # EXIF: to be turned by 90 degrees


def make_mask(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Smooth pieces of two classes, some with holes."""
    noise = np.random.default_rng(seed).normal(size=(3, *shape))
    return np.argmax(gaussian_filter(noise, (0, 4, 4)), axis=0).astype(np.uint8)


def make_photo(shape: tuple[int, int], seed: int, orientation: int = 1) -> bytes:
    """A JPEG that is shown with this height and width."""
    height, width = shape[::-1] if orientation == SIDEWAYS else shape
    pixels = np.random.default_rng(seed).integers(
        0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8
    )
    image = Image.fromarray(pixels).resize((width, height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def make_set(folder: Path, counts: dict[str, int] | None = None, *, classes: bool = True) -> Path:
    """Write a set with so many images a part; the second of each part stands on its side by its EXIF orientation."""
    for part, count in (counts or {"train": 3, "val": 2}).items():
        for place in ("img", "labels"):
            (folder / place / part).mkdir(parents=True)
        for number in range(count):
            shape, seed = (40 + number, 56), len(part) * 100 + number
            photo = make_photo(shape, seed, SIDEWAYS if number == 1 else 1)
            (folder / "img" / part / f"{number}.jpg").write_bytes(photo)
            (folder / "labels" / part / f"{number}.png").write_bytes(write_png(make_mask(shape, seed)))
    if classes:
        (folder / "classes.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return folder
