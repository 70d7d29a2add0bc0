"""Draw masks over their images, so that an eye can judge them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ml.images import decode_reduced
from ml.mask_sets.scene import LIMITS, MaskSet, Scene
from ml.masks.classes import MaskClasses
from ml.masks.png import palette
from ml.segmentation.sizes import shrink_mask

_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_LINE, _BOX = 18, 11
_IGNORED = (255, 255, 255)


def draw_scene(found: MaskSet, scene: Scene, *, side: int = 1024, opacity: float = 0.45) -> Image.Image:
    """Return a scene's image with its mask over it, and the names of its classes below.

    Parameters
    ----------
    found : MaskSet
    scene : Scene
        One of the set's, with a file.
    side : int
        The longer side of the picture is at most so long.
    opacity : float
        Of the classes' colours, in [0, 1]; their rims are opaque.

    Raises
    ------
    MaskError
        If the mask cannot be used.
    ImageError
        If the image is broken.
    OSError
        If one of them cannot be read.
    """
    if scene.path is None:
        raise FileNotFoundError(f"{scene.image} is not on this machine")
    mask = found.mask(scene)
    image, _ = decode_reduced(scene.path.read_bytes(), limits=LIMITS, side=side)
    image.thumbnail((side, side))
    return with_legend(overlay(image, mask, found.classes, opacity), mask, found.classes)


def overlay(image: Image.Image, mask: np.ndarray, classes: MaskClasses, opacity: float = 0.45) -> Image.Image:
    """Return an image with the colours of a mask's classes over it; the background that nobody draws stays clear.

    Parameters
    ----------
    image : PIL.Image.Image
        RGB, of any size of the mask's shape.
    mask : ndarray, shape (H, W)
    classes : MaskClasses
    opacity : float
        In [0, 1].
    """
    small = shrink_mask(mask, (image.height, image.width))
    weight = np.where(_clear(small, classes), 0.0, np.where(_rims(small), 1.0, opacity))[:, :, None]
    drawn = np.asarray(image) * (1 - weight) + _colours(small, classes) * weight
    return Image.fromarray(np.round(drawn).astype(np.uint8))


def with_legend(image: Image.Image, mask: np.ndarray, classes: MaskClasses) -> Image.Image:
    """Return an image with a line below it for the classes its mask has, the largest first."""
    numbers, counts = np.unique(mask, return_counts=True)
    names = [
        (
            number,
            f"{'not labelled' if number == classes.ignore else classes.names[number]} {count / mask.size:.1%}",
        )
        for count, number in sorted(zip(counts.tolist(), numbers.tolist(), strict=True), reverse=True)
        if number == classes.ignore or not (classes.implied and number == 0)
    ]
    return with_names(image, names, classes)


def with_names(image: Image.Image, names: Sequence[tuple[int, str]], classes: MaskClasses) -> Image.Image:
    """Return an image with texts below it, each beside the colour of a class's number."""
    font = ImageFont.load_default(11)
    places, x, y = [], 4, 0
    for number, text in names:
        width = _BOX + 6 + int(font.getlength(text)) + 12
        if x > 4 and x + width > image.width:
            x, y = 4, y + _LINE
        places.append((number, text, x, y))
        x += width
    sheet = Image.new("RGB", (image.width, image.height + (y + _LINE if places else 0)), _PAPER)
    sheet.paste(image, (0, 0))
    draw = ImageDraw.Draw(sheet)
    for number, text, left, below in places:
        top = image.height + below + 4
        draw.rectangle((left, top, left + _BOX, top + _BOX), fill=colour_of(number, classes), outline=_INK)
        draw.text((left + _BOX + 5, top - 1), text, fill=_INK, font=font)
    return sheet


def colour_of(number: int, classes: MaskClasses) -> tuple[int, int, int]:
    """Return the colour of a class, or of what is ignored, in pictures of masks."""
    red, green, blue = _colours(np.array([[number]]), classes)[0, 0].tolist()
    return red, green, blue


def _colours(mask: np.ndarray, classes: MaskClasses) -> np.ndarray:
    """Return the colour of every pixel's class; a first class that is drawn must not be black."""
    shift = 0 if classes.implied else 1
    colours = palette()[(mask.astype(np.int64) + shift) % 256]
    if classes.ignore is not None:
        colours[mask == classes.ignore] = _IGNORED
    return colours


def _clear(mask: np.ndarray, classes: MaskClasses) -> np.ndarray:
    clear: np.ndarray = mask == 0 if classes.implied else np.zeros(mask.shape, dtype=bool)
    return clear


def _rims(mask: np.ndarray) -> np.ndarray:
    """Return the pixels that have one of another class to their right or below."""
    rims = np.zeros(mask.shape, dtype=bool)
    rims[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    rims[:-1] |= mask[1:] != mask[:-1]
    return rims
