"""Index masks as PNG files: with a palette, so that an eye can tell the classes; grey of 16 bits beyond 256."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from ml.masks import MaskError, check_size

_MODES = ("P", "L", "1", "I", "I;16", "I;16B")


def read_png(data: bytes) -> np.ndarray:
    """Return the numbers in a palette or grey image, uint8 or uint16 of shape (H, W); the palette is left aside.

    Raises
    ------
    MaskError
        If it is no image that holds one number a pixel, or one too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "TIFF", "BMP")) as image:
            check_size(image.height, image.width)
            if image.mode not in _MODES:
                raise MaskError(
                    f"the mask is a picture of colours ({image.mode}); a mask of class numbers is grey or has a palette"
                )
            numbers = np.asarray(image)
    except MaskError:
        raise
    except UnidentifiedImageError as error:
        raise MaskError("the mask is no PNG, TIFF or BMP file, or its beginning is broken") from error
    except Exception as error:  # Pillow's plugins raise almost any exception on a broken file
        raise MaskError(f"the mask cannot be decoded: {error or type(error).__name__}") from error
    if numbers.dtype == np.bool_:
        return numbers.astype(np.uint8)
    if numbers.size and (numbers.min() < 0 or numbers.max() > 65_535):
        raise MaskError(f"the mask has numbers from {numbers.min()} to {numbers.max()}; classes go to 65535")
    return numbers if numbers.dtype == np.uint8 else numbers.astype(np.uint16)


def write_png(mask: np.ndarray) -> bytes:
    """Return the file of an index mask.

    Parameters
    ----------
    mask : ndarray of uint8 or uint16, shape (H, W)
    """
    if mask.dtype == np.uint8:
        image = Image.fromarray(mask)
        image.putpalette(palette().tobytes())
    else:
        image = Image.fromarray(mask.astype(np.uint16))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=False)
    return file.getvalue()


def palette() -> np.ndarray:
    """Return 256 colours that stay apart, uint8 of shape (256, 3): 0 is black, 255 near white.

    Bit k of a number's three-bit groups becomes bit 7 - k of red, green and blue, as Pascal VOC colours its masks.
    """
    number = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((number >> channel & 1) << (7 - place)).astype(np.uint8)
        number >>= 3
    return colours
