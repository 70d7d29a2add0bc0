"""What an eye needs to judge a mask: the image, the mask as given, as predicted, and where the two are at odds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation

from ml.audit.masks.findings import MaskAudit
from ml.audit.masks.words import changes, what_is_wrong
from ml.audit.pictures import INK, captioned, plain_stem
from ml.mask_sets.overlay import overlay, with_names
from ml.segmentation.sizes import shrink_mask
from ml.thumbnails import thumbnail

_DRAWN_SIDE = 320
_LINE, _GAP = 18, 6
_INK, _PAPER = (40, 46, 58), (255, 255, 255)
_RIM, _PALE = (214, 0, 147), 0.7
_CLASSES = 8


def draw_suspects(audit: MaskAudit, rows: Sequence[int], folder: Path) -> int:
    """Draw what is suspect, the most suspicious first, and return how many; files are called by place and name."""
    folder.mkdir()
    drawn = 0
    for place, row in enumerate(rows, 1):
        picture = strip(audit, row, _DRAWN_SIDE)
        if picture is None:
            continue
        names = [
            (one.number, f"{one.name} {one.given:.1%}, predicted {one.predicted:.1%}")
            for one in changes(audit, row)[:_CLASSES]
        ]
        lines = {
            what_is_wrong(audit, row): INK,
            f"suspicion {audit.suspicion[row]:.2f}   Dice {audit.dice[row]:.2f}": INK,
            audit.scenes[row].image: INK,
        }
        picture = captioned(with_names(picture, names, audit.classes), lines)
        picture.save(folder / f"{place:04d}-{plain_stem(audit.scenes[row].image)}.png")
        drawn += 1
    return drawn


def strip(audit: MaskAudit, row: int, side: int) -> Image.Image | None:
    """Return image, given mask, predicted mask and suspected region side by side; None if the image cannot be read.

    Parameters
    ----------
    side : int
        Of each of the four pictures, at most.
    """
    image = thumbnail(audit.scenes[row].path, side)
    if image is None:
        return None
    given, predicted = (
        overlay(image, mask, audit.classes) for mask in (audit.given(row), audit.predicted(row))
    )
    panels = {"image": image, "as given": given, "as predicted": predicted}
    return side_by_side(panels | {"look here": pointed_at(image, audit.region(row))})


def pair(audit: MaskAudit, rows: tuple[int, int], side: int) -> Image.Image | None:
    """Return two images with their masks, side by side; None if one cannot be read."""
    panels: dict[str, Image.Image] = {}
    for name, row in zip(("one", "other"), rows, strict=True):
        image = thumbnail(audit.scenes[row].path, side)
        if image is None:
            return None
        panels |= {name: image, f"{name}, as given": overlay(image, audit.given(row), audit.classes)}
    return side_by_side(panels)


def side_by_side(panels: dict[str, Image.Image]) -> Image.Image:
    """Return pictures in a row, each with a word above it."""
    font = ImageFont.load_default(12)
    width = sum(panel.width + _GAP for panel in panels.values()) - _GAP
    sheet = Image.new("RGB", (width, max(panel.height for panel in panels.values()) + _LINE), _PAPER)
    draw, x = ImageDraw.Draw(sheet), 0
    for title, panel in panels.items():
        draw.text((x, 1), title, fill=_INK, font=font)
        sheet.paste(panel, (x, _LINE))
        x += panel.width + _GAP
    return sheet


def pointed_at(image: Image.Image, region: np.ndarray) -> Image.Image:
    """Return an image that is pale but for a region, with a line around it."""
    inside = shrink_mask(region, (image.height, image.width))
    pixels = np.asarray(image).astype(np.float64)
    pixels[~inside] = pixels[~inside].mean(axis=-1, keepdims=True) * (1 - _PALE) + 255 * _PALE
    pixels[binary_dilation(inside, iterations=2) & ~inside] = _RIM
    return Image.fromarray(pixels.astype(np.uint8))
