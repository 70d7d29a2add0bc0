"""Contact sheets: many images in one picture, each with a line below it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ml.thumbnails import thumbnail

SIDE, LINE, GAP, COLUMNS = 128, 16, 6, 8
_PAPER, _INK, _MISSING = (255, 255, 255), (20, 20, 20), (225, 225, 225)


def contact_sheet(
    images: Iterable[tuple[Path | Image.Image | None, str]], columns: int = COLUMNS, side: int = SIDE
) -> Image.Image:
    """Draw images in rows, each shrunk into a square, its text cut to fit.

    An image that cannot be read is a grey square: what it is called still stands below it.

    Parameters
    ----------
    images : iterable of (path, image or None, text)
    columns : int
    side : int
        Of the square, in pixels.
    """
    cells = list(images)
    width, height, letters = side + GAP, side + LINE + GAP, side // 6
    rows = -(-len(cells) // columns)
    sheet = Image.new(
        "RGB", (GAP + min(columns, max(len(cells), 1)) * width, GAP + max(rows, 1) * height), _PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (one, text) in enumerate(cells):
        x, y = GAP + number % columns * width, GAP + number // columns * height
        shown = ImageOps.contain(one, (side, side)) if isinstance(one, Image.Image) else thumbnail(one, side)
        small = shown or Image.new("RGB", (side, side), _MISSING)
        sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))
        short = text if len(text) <= letters else text[: letters - 1] + "…"
        draw.text((x, y + side + 2), short, fill=_INK, font=font)
    return sheet
