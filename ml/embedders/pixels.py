"""Vectors straight from pixels: no weights, no network, a fair feature on small or simple images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ml.embedders.threads import usable_cpus

_SIDE = 32  # pixels a side the image is reduced to
_CELL = 4  # pixels a side of an orientation cell
_ORIENTATIONS = 8
_GREY = 16
_COLOUR = 4
# norms of the grey, the orientation and the colour block
_GREY_NORM, _EDGE_NORM, _COLOUR_NORM = 0.6, 1.0, 0.6
_BATCH = 64
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class PixelsEmbedder:
    """Grey layout, gradient orientations and colour layout of the image reduced to 32 x 32.

    Three blocks, each L2-normalised so that none drowns the others: a 16 x 16 grey thumbnail without its
    mean; 8 x 8 cells of 8 unsigned gradient orientations, normalised by the contrast around the cell (after
    Dalal and Triggs, 2005); a 4 x 4 thumbnail of luma and two colour differences.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        cells = (_SIDE // _CELL) ** 2
        self.name = "pixels"
        self.fingerprint = "pixels-1"
        self.dim = _GREY**2 + cells * _ORIENTATIONS + 3 * _COLOUR**2
        self.image_size = _SIDE
        self.batch_size = _BATCH
        self.workers = usable_cpus() if threads is None else max(1, threads)
        self.device = "cpu"
        self.weights = {
            "name": "pixels",
            "source": "computed",
            "licence": "none needed",
            "digest": self.fingerprint,
        }
        self.note: str | None = None

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return an RGB image reduced to uint8 of shape (32, 32, 3)."""
        size = (_SIDE, _SIDE)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))

    def forward(self, prepared: np.ndarray) -> np.ndarray:
        """Return the vectors of prepared images, float32 of shape (n, dim)."""
        return _features(prepared)


def _features(pixels: np.ndarray) -> np.ndarray:
    """From uint8 pixels of shape (n, 32, 32, 3) to vectors of shape (n, dim)."""
    n = len(pixels)
    rgb = pixels.astype(np.float32) / 255.0
    grey = rgb @ _LUMA
    layout = _pool(grey, _SIDE // _GREY)
    layout = layout - layout.mean(axis=(1, 2), keepdims=True)
    colour = _pool(rgb, _SIDE // _COLOUR)
    luma = colour @ _LUMA
    opponents = np.stack([luma, colour[..., 2] - luma, colour[..., 0] - luma], axis=-1)
    return np.concatenate(
        [
            _GREY_NORM * _normalised(layout.reshape(n, -1)),
            _EDGE_NORM * _normalised(_orientations(grey).reshape(n, -1)),
            _COLOUR_NORM * _normalised(opponents.reshape(n, -1)),
        ],
        axis=1,
    )


def _orientations(grey: np.ndarray) -> np.ndarray:
    """Gradient energy by cell and orientation, shape (n, 8, 8, 8), relative to the contrast around."""
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    dx = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    dy = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    magnitude = np.hypot(dx, dy)
    # the remainder makes opposite directions one orientation; energy is shared between the two nearest bins
    angle = np.arctan2(dy, dx) * (_ORIENTATIONS / np.pi)
    angle %= _ORIENTATIONS
    lower = np.minimum(angle.astype(np.int8), _ORIENTATIONS - 1)
    share = magnitude * (angle - lower)
    rest = magnitude - share
    cells = np.empty((*grey.shape[:1], _SIDE // _CELL, _SIDE // _CELL, _ORIENTATIONS), dtype=np.float32)
    for k in range(_ORIENTATIONS):
        previous = (k - 1) % _ORIENTATIONS
        cells[..., k] = _pool(
            np.where(lower == k, rest, 0.0) + np.where(lower == previous, share, 0.0), _CELL
        )
    energy = np.pad((cells**2).sum(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    side = _SIDE // _CELL
    around = sum(energy[:, i : i + side, j : j + side] for i in range(3) for j in range(3))
    return np.sqrt(cells / np.sqrt(around + 1e-4)[..., None])


def _pool(values: np.ndarray, size: int) -> np.ndarray:
    """Mean over ``size`` x ``size`` blocks of the second and third axis."""
    n, height, width, *rest = values.shape
    return values.reshape(n, height // size, size, width // size, size, *rest).mean(axis=(2, 4))


def _normalised(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-3)
