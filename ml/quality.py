"""Tell dark, bright, blurry, empty and oddly sized images from the decoded pixels, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

UNREADABLE = "image unreadable"
DARK = "image dark"
BRIGHT = "image bright"
BLURRY = "image blurry"
EMPTY = "image low information"
ODD_SIZE = "image odd size"

MEASURES = ("width", "height", "brightness_p99", "brightness_p5", "edges", "tones", "entropy")

_BRIGHTNESS_SIDE = 256
_BRIGHTNESS_PIXELS = 4096  # spread evenly; percentiles need no more
_BLUR_SIDE = 64  # blur that survives at this size is blur at any
_LUMA = np.array([0.241, 0.691, 0.068], dtype=np.float32)

# the thresholds of cleanvision 0.3.7, which were set on many public image sets
_DARK_BELOW = 0.32
_BRIGHT_ABOVE = 0.95
_LOW_ENTROPY = 3.0  # bits
_ASPECT_BELOW = 0.35
_SIZE_SPREAD = 3.0
_SIZE_SLACK = 0.25  # of the median: where nearly all images have one size, a few pixels more are not odd
_BLUR_SCORE = 0.29
_TONES_SCORE = 0.18
_PREVALENCE = 0.5


def measure(image: Image.Image, *, size: tuple[int, int] | None = None) -> np.ndarray:
    """Measure one decoded image.

    The measures are cleanvision's (github.com/cleanlab/cleanvision), taken from a reduced copy.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB.
    size : (int, int), optional
        Width and height of the file, where the image was shrunk on decoding.

    Returns
    -------
    ndarray of float32, shape (7,)
        As named in `MEASURES`: width, height, the 99th and the 5th percentile of brightness in [0, 1],
        the deviation of the edge image, the deviation of the histogram of greys, and the entropy in bits.
    """
    width, height = size or image.size
    small = _reduced(image, _BRIGHTNESS_SIDE)
    step = max(1, round((small.width * small.height / _BRIGHTNESS_PIXELS) ** 0.5))
    pixels = np.asarray(small)[::step, ::step].astype(np.float32)
    brightness = np.sqrt((pixels * pixels) @ _LUMA) / 255.0
    dark, bright = np.percentile(brightness, [99, 5])
    thumbnail = _fitted(image.convert("L"), _BLUR_SIDE)
    edges = float(np.asarray(thumbnail.filter(ImageFilter.FIND_EDGES)).std())
    tones = float(np.std(thumbnail.histogram()))
    return np.array([width, height, dark, bright, edges, tones, small.entropy()], dtype=np.float32)


def judge_images(measures: np.ndarray) -> list[str]:
    """Name what is wrong with each image, or nothing.

    Parameters
    ----------
    measures : ndarray of float, shape (n, 7)
        Rows of `measure`; a row of NaN is an image that could not be read.

    Returns
    -------
    list of str, length n
        One of this module's names or ``''``. An image with several faults has the first of: unreadable, dark,
        bright, low information, blurry, odd size. What more than half of the images show is their nature and no
        fault (cleanvision's rule), unreadable ones aside. A size is odd when its square root of the area lies more
        than three interquartile ranges (at least a quarter of the median) outside the quartiles of all images, or
        one side is about a third of the other.
    """
    measures = np.asarray(measures, dtype=np.float64).reshape(-1, len(MEASURES))
    width, height, p99, p5, edges, tones, entropy = measures.T
    unreadable = ~np.isfinite(measures).all(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        blur = 1.0 - np.exp(-0.01 * edges)
        flat = 1.0 - np.exp(-0.01 * tones)
        blur += np.where(flat <= _TONES_SCORE, 0.0, flat)
        aspect = np.minimum(width / height, height / width)
        checks = (
            (UNREADABLE, unreadable),
            (DARK, p99 < _DARK_BELOW),
            (BRIGHT, p5 > _BRIGHT_ABOVE),
            (EMPTY, entropy < _LOW_ENTROPY),
            (BLURRY, blur < _BLUR_SCORE),
            (ODD_SIZE, (aspect < _ASPECT_BELOW) | _odd(np.sqrt(width * height))),
        )
    most = _PREVALENCE * len(measures)
    return _first(
        [(name, at) for name, at in checks if name == UNREADABLE or at.sum() <= most], len(measures)
    )


def unreadable() -> np.ndarray:
    """Return the row that stands for an image that could not be read."""
    return np.full(len(MEASURES), np.nan, dtype=np.float32)


def _first(checks: Sequence[tuple[str, Any]], n: int) -> list[str]:
    names = np.full(n, "", dtype=object)
    for name, found in reversed(checks):
        names[found] = name
    return list(names.tolist())


def _odd(side: np.ndarray) -> np.ndarray:
    known = side[np.isfinite(side)]
    if not len(known):
        return np.zeros(len(side), dtype=bool)
    low, high = np.percentile(known, [25, 75])
    spread = max(_SIZE_SPREAD * (high - low), _SIZE_SLACK * float(np.median(known)))
    odd: np.ndarray = (side < low - spread) | (side > high + spread)
    return odd


def _reduced(image: Image.Image, side: int) -> Image.Image:
    factor = max(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _fitted(image: Image.Image, side: int) -> Image.Image:
    ratio = max(image.size) / side
    if ratio <= 1:
        return image
    return image.resize(
        (max(1, int(image.width // ratio)), max(1, int(image.height // ratio))), reducing_gap=3.0
    )
