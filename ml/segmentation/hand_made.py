"""Features of pixels without weights: colour, contrast and edges at several scales, and the layout of the image."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ml.embedders.pixels import PixelsEmbedder
from ml.segmentation.pyramid import Level, Pyramid, even_place
from ml.segmentation.sizes import work_size

_SMALL = 160  # pixels; up to here the finest level has all of them
_SCALES = 4
_ORIENTATIONS = 4
_BLUR = 1.0  # cells, before every second one is taken
_LAYOUT = 192  # numbers that say what the whole image looks like
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class HandMadeFeatures:
    """At four scales, each half of the one before: colour, local contrast, gradient energy by orientation.

    What the whole image looks like is one cell more: the vector of `ml.embedders.pixels`, in fewer dimensions by a
    random projection (Johnson and Lindenstrauss, 1984). A pixel of a stroke alone does not tell which digit it is of.

    Parameters
    ----------
    side : int
        Pixels of the longer side; smaller images stay as they are.
    """

    def __init__(self, side: int) -> None:
        self.name = "pixels"
        self.fingerprint = f"pixels-2-{side}"
        self.side = side
        self.note: str | None = None
        self._whole = PixelsEmbedder(threads=1)
        # orthogonal columns keep the scale of what they keep
        drawn = np.random.default_rng(0).standard_normal((self._whole.dim, _LAYOUT))
        self._projection = np.linalg.qr(drawn)[0].astype(np.float32)

    def extract(self, image: Image.Image, size: tuple[int, int] | None = None) -> Pyramid:
        """Return an image's features; see `ml.segmentation.features.PixelFeatures`."""
        full = (image.height, image.width) if size is None else size
        height, width = work_size(full[0], full[1], self.side)
        stride = 1 if max(height, width) <= _SMALL else 2
        colours = shrunk(image, height, width, stride)
        place = even_place(colours.shape[:2])
        levels = []
        for _ in range(_SCALES):
            levels.append(Level.quantised(np.concatenate([colours, _texture(colours)], axis=2), place))
            colours = gaussian_filter(colours, (_BLUR, _BLUR, 0))[::2, ::2]
            place = place * [1, 2]  # the first of two cells is kept, where it is
        layout = self._whole.forward(self._whole.prepare(image)[None]) @ self._projection
        levels.append(Level.quantised(layout[None], even_place((1, 1))))
        return Pyramid(full, tuple(levels))


def shrunk(image: Image.Image, height: int, width: int, stride: int) -> np.ndarray:
    """Return the colours of an image of a size by cells of a stride, float32 of shape (h, w, 3) in [0, 1]."""
    cells = (-(-width // stride), -(-height // stride))
    reduced = image.convert("RGB").resize(cells, Image.Resampling.BOX, reducing_gap=3.0)
    return np.asarray(reduced, dtype=np.float32) / 255.0


def _texture(colours: np.ndarray) -> np.ndarray:
    """Return local contrast and gradient energy by orientation, float32 of shape (h, w, 1 + orientations)."""
    grey = colours @ _LUMA
    mean = gaussian_filter(grey, 1.5)
    contrast = np.sqrt(np.maximum(gaussian_filter(grey**2, 1.5) - mean**2, 0.0))
    padded = np.pad(grey, 1, mode="edge")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    angles = np.arange(_ORIENTATIONS) * (np.pi / _ORIENTATIONS)
    energy = [gaussian_filter(np.abs(np.cos(a) * dx + np.sin(a) * dy), 1.0) for a in angles]
    return np.stack([contrast, *energy], axis=2).astype(np.float32)
