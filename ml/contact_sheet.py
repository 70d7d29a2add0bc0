"""Contact sheets: many images in one picture, each with a line below it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ml.thumbnails import thumbnail

SIDE, LINE, GAP, COLUMNS = 128, 16, 6, 8
_PAPER, _INK, _MISSING = (255, 255, 255), (20, 20, 20), (225, 225, 225)
_LETTERS = SIDE // 6


def contact_sheet(images: Iterable[tuple[Path | None, str]], columns: int = COLUMNS) -> Image.Image:
    """Draw images in rows, each shrunk into 128 pixels a side, its text cut to fit.

    An image that cannot be read is a grey square: what it is called still stands below it.

    Parameters
    ----------
    images : iterable of (path or None, text)
    columns : int
    """
    cells = list(images)
    width, height = SIDE + GAP, SIDE + LINE + GAP
    rows = -(-len(cells) // columns)
    sheet = Image.new(
        "RGB", (GAP + min(columns, max(len(cells), 1)) * width, GAP + max(rows, 1) * height), _PAPER
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (path, text) in enumerate(cells):
        x, y = GAP + number % columns * width, GAP + number // columns * height
        small = thumbnail(path, SIDE) or Image.new("RGB", (SIDE, SIDE), _MISSING)
        sheet.paste(small, (x + (SIDE - small.width) // 2, y + (SIDE - small.height) // 2))
        short = text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
        draw.text((x, y + SIDE + 2), short, fill=_INK, font=font)
    return sheet
