"""Small pictures of images on disk."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ml.images import ImageError, ImageLimits, decode_reduced


def thumbnail(path: Path | None, side: int) -> Image.Image | None:
    """Return an image at most ``side`` pixels wide and high, RGB; None where it cannot be read (any more).

    Tiny images are enlarged as they are, pixel by pixel.
    """
    if path is None:
        return None
    try:
        image, _ = decode_reduced(path.read_bytes(), limits=ImageLimits(), side=side)
    except (OSError, ImageError):
        return None
    if max(image.size) < side:
        factor = max(1, side // max(image.size))
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
