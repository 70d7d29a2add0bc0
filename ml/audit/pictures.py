"""Small pictures of images: inside the report, and drawn with what was found on them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ml.audit.findings import Findings
from ml.datasets.example import Example
from ml.thumbnails import thumbnail

SIDE = 144  # pixels, in the report
_DRAWN_SIDE = 320
_TEXT = 15
_LINE = 21
_MARGIN = 8
_QUALITY = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
INK = "#333333"
_GIVEN, _SUGGESTED, _PAPER = "#b3261e", "#146c43", "#ffffff"


def data_uri(example: Example) -> str:
    """Return a thumbnail as a data URI, empty where the image cannot be read any more."""
    image = thumbnail(example.path, SIDE)
    return "" if image is None else jpeg_uri(image)


def jpeg_uri(image: Image.Image) -> str:
    """Return a picture as a data URI."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def draw_suspects(found: Findings, rows: Sequence[int], folder: Path) -> int:
    """Draw images with ``given → suggested`` and the scores below, the most suspicious first; return how many.

    Files are called by their place in the list and what is plain in their own names.
    """
    folder.mkdir()
    drawn = 0
    for place, row in enumerate(rows, 1):
        example = found.examples[row]
        picture = thumbnail(example.path, _DRAWN_SIDE)
        if picture is None:
            continue
        given, suggested = (str(found.name(int(of[row]))) for of in (found.labels, found.suggestion))
        lines = {
            f"given: {given}": _GIVEN,
            f"suggested: {suggested}": _SUGGESTED,
            f"suspicion {found.suspicion[row]:.2f}   confidence {found.confidence[row]:.2f}": INK,
            example.image: INK,
        }
        captioned(picture, lines).save(folder / f"{place:04d}-{plain_stem(example.image)}.png")
        drawn += 1
    return drawn


def plain_stem(name: str) -> str:
    """Return what is plain in a file's name, without its folders and extension."""
    return _UNSAFE.sub("_", Path(name).stem).strip("._")[:60] or "image"


def captioned(picture: Image.Image, lines: Mapping[str, str]) -> Image.Image:
    """Return a picture with lines below it, each in a colour and cut to fit."""
    font = ImageFont.load_default(_TEXT)
    width = max(picture.width, _DRAWN_SIDE) + 2 * _MARGIN
    canvas = Image.new("RGB", (width, picture.height + 3 * _MARGIN + _LINE * len(lines)), _PAPER)
    canvas.paste(picture, ((width - picture.width) // 2, _MARGIN))
    pen = ImageDraw.Draw(canvas)
    for number, (line, colour) in enumerate(lines.items()):
        place = (_MARGIN, picture.height + 2 * _MARGIN + number * _LINE)
        pen.text(place, _fitted(line, font, width - 2 * _MARGIN), colour, font)
    return canvas


def _fitted(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """Cut a text to one line of so many pixels."""
    text = " ".join(text.split())[:200]
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."
