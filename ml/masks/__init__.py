"""Masks: the class of every pixel, and the forms annotation tools and datasets keep it in.

An *index mask* is an array (H, W) of uint8, or of uint16 where there are more than 255 classes: each pixel's
class by its number in a list, the first is 0. Rows run downwards. Points are in pixels, x to the right and
y downwards: pixel (row, column) is the square from (column, row) to (column + 1, row + 1), and a polygon has
it if it holds its centre.
"""

from __future__ import annotations


class MaskError(ValueError):
    """A mask, or what stands for one, cannot be used; the message says why and stands on its own."""


MOST_PIXELS = 100_000_000  # as of images


def check_size(height: int, width: int) -> None:
    """See that a mask of a size may be made: a few bytes of a file can ask for any.

    Raises
    ------
    MaskError
        If it has no pixel, or more than a hundred million.
    """
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise MaskError(f"{width} x {height} is no size of a mask: it has 1 to {MOST_PIXELS:,} pixels")
