"""Decode image files safely: limits before work, EXIF orientation, one error for whatever is broken."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

_UPRIGHT = 1
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_OPAQUE = ("RGB", "L", "CMYK", "YCbCr", "LAB", "HSV")
# what browsers show, and what microscopes and scanners write; Pillow would hand EPS to Ghostscript
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# from here on a file of a few kilobytes may take gigabytes to decode: one at a time
_LARGE = 16_000_000
_one_large = threading.Lock()
_SAMPLE = 1_000_000


class ImageError(ValueError):
    """An image cannot be used; the message says why and stands on its own."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before it is decoded.

    Attributes
    ----------
    max_bytes : int
        Largest file.
    max_pixels : int
        Largest width times height.
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 100_000_000


def decode_reduced(data: bytes, *, limits: ImageLimits, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Decode an image file to upright RGB, for a resize to come: a JPEG is decoded at reduced size.

    Transparent pixels become white, greys deeper than 8 bits are stretched from their darkest to their
    brightest value (but for one pixel in a thousand at either end, which may be hot or dead), and of an animation the
    first frame is taken. Images of 16 million pixels and more are decoded one at a time, whatever the number of
    threads, and come out reduced.

    Parameters
    ----------
    data : bytes
        The file.
    limits : ImageLimits
        Checked on the header, before pixels are decoded.
    side : int
        The shorter side stays at least this long, if the image has that much.

    Returns
    -------
    image : PIL.Image.Image
        Mode ``RGB``, upright, loaded.
    size : (int, int)
        Width and height the upright image has in full.

    Raises
    ------
    ImageError
        If the file is empty, too large, has too many pixels, or cannot be decoded.
    """
    with _opened(data, limits) as image:
        width, height = image.size
        image.draft(None, _shrunk(image.size, side))
        orientation = _orientation(image)
        large = image.width * image.height >= _LARGE
        with _one_large if large else nullcontext():
            upright = _to_rgb(image, orientation)
            # twice the side leaves the resize to come all it can use
            if large and (factor := min(upright.size) // (2 * side)) > 1:
                upright = upright.reduce(factor)
        return upright, (height, width) if orientation in _TURNED else (width, height)


def plain_jpeg(data: bytes, *, limits: ImageLimits) -> tuple[int, int] | None:
    """Return width and height of an upright RGB or grey JPEG within limits, None for anything else.

    Raises
    ------
    ImageError
        As `decode_reduced`, as far as the header tells.
    """
    with _opened(data, limits) as image:
        plain = image.format == "JPEG" and image.mode in ("RGB", "L") and _orientation(image) == _UPRIGHT
        return image.size if plain else None


def upright_size(data: bytes, *, limits: ImageLimits) -> tuple[int, int]:
    """Return width and height of an image as it is shown, turned by its EXIF orientation, by its header alone.

    Raises
    ------
    ImageError
        As `decode_reduced`, as far as the header tells.
    """
    with _opened(data, limits) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _TURNED else (width, height)


@contextmanager
def _opened(data: bytes, limits: ImageLimits) -> Iterator[Image.Image]:
    """Open a file within limits; whatever goes wrong inside becomes an `ImageError`."""
    if not data:
        raise ImageError("the image file is empty")
    if len(data) > limits.max_bytes:
        raise ImageError(f"the image file has {len(data):,} bytes, the limit is {limits.max_bytes:,}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise ImageError(
                    f"the image has {width} x {height} = {width * height:,} pixels, "
                    f"the limit is {limits.max_pixels:,}"
                )
            yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"the image has more pixels than the limit, {limits.max_pixels:,} ({error})"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"the file is not an image of a kind Lineup reads ({', '.join(FORMATS)}), or its beginning is broken"
        ) from error
    except Exception as error:  # Pillow's plugins raise almost any exception on a broken file
        raise ImageError(f"the image cannot be decoded: {error or type(error).__name__}") from error


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT))


def _to_rgb(image: Image.Image, orientation: int) -> Image.Image:
    image.load()
    # an image that is as it should be is not copied
    upright = image if orientation == _UPRIGHT else ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):
        upright = _stretch(upright)
    elif upright.mode not in _OPAQUE or "transparency" in upright.info:
        layers = upright.convert("RGBA")
        upright = Image.new("RGBA", layers.size, "white")
        upright.alpha_composite(layers)
    return upright if upright.mode == "RGB" else upright.convert("RGB")


def _shrunk(size: tuple[int, int], side: int) -> tuple[int, int]:
    factor = min(1.0, side / min(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _stretch(image: Image.Image) -> Image.Image:
    """Return greys of more than 8 bits, or of floats, as 8 bits that use the whole range."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    low, high = (float(value) for value in np.percentile(sample, (0.1, 99.9)))
    if high <= low:  # almost all pixels are alike: what differs is the picture
        low, high = float(values.min()), float(values.max())
    if high <= low:  # all are: how bright is all there is to see
        low, high = 0.0, 65535.0 if image.mode.startswith("I") else max(1.0, high)
    grey = np.clip((values - low) * (255.0 / max(high - low, 1e-6)), 0, 255)
    return Image.fromarray(grey.astype(np.uint8))
