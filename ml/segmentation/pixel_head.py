"""The class of every pixel from an image's features: what is served, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.segmentation.pyramid import Level, Pyramid, even_place
from ml.segmentation.sizes import SIDE, work_size
from ml.segmentation.summary import PixelSummary, summarise

_COARSE = 40  # cells of the longer side that a summary looks at


@dataclass(frozen=True)
class PixelProbe:
    """A network of one hidden layer on all levels of a pyramid.

    Its first layer is linear, and so is bilinear interpolation: each level goes through its part of the layer at
    its own stride, and what comes out, far fewer numbers, is brought to the finest level and added up. Classes are
    told there, and their logits brought to work size.

    Attributes
    ----------
    W1 : ndarray of float32, shape (d, H)
        For the features of all levels, then the place downwards and to the right, from -1 to 1.
    b1 : ndarray of float32, shape (H,)
    W2 : ndarray of float32, shape (H, K)
    b2 : ndarray of float32, shape (K,)
    channels : tuple of int
        Features of each level.
    """

    W1: np.ndarray
    b1: np.ndarray
    W2: np.ndarray
    b2: np.ndarray
    channels: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.b2)

    def probabilities(self, pyramid: Pyramid, side: int = SIDE) -> np.ndarray:
        """Return the probabilities of every pixel at work size, float32 of shape (K, h, w).

        Raises
        ------
        ValueError
            If the features are of another backbone.
        """
        logits = self._logits(pyramid, pyramid.levels[0].values.shape[:2])
        height, width = work_size(pyramid.size[0], pyramid.size[1], side)
        grid = Level(
            np.zeros((*logits.shape[1:], 0), np.uint8),
            np.zeros(0, np.float32),
            np.zeros(0, np.float32),
            even_place(logits.shape[1:]),
        )
        across = logits @ grid.resampling(width, 1).T
        found: np.ndarray = grid.resampling(height, 0) @ across
        return _softmax(found)

    def summary(self, pyramid: Pyramid) -> PixelSummary:
        """Return what an image's prediction is like, from a coarse look: for thousands of images.

        Raises
        ------
        ValueError
            If the features are of another backbone.
        """
        height, width = work_size(pyramid.size[0], pyramid.size[1], _COARSE)
        return summarise(_softmax(self._logits(pyramid, (height, width))))

    def _logits(self, pyramid: Pyramid, shape: tuple[int, int]) -> np.ndarray:
        """Return the logits of points that share the image evenly, float32 of shape (K, *shape)."""
        if pyramid.channels != self.channels:
            raise ValueError(
                f"the features have {pyramid.channels} channels, the probe was fitted on {self.channels}: "
                "they are of another backbone"
            )
        height, width = shape
        hidden = np.empty((height, width, len(self.b1)), dtype=np.float32)
        down, right = ((np.arange(length, dtype=np.float32) + 0.5) * 2 / length - 1 for length in shape)
        hidden[:] = (down[:, None] * self.W1[-2] + self.b1)[:, None]
        hidden += right[:, None] * self.W1[-1]
        start = 0
        for level in pyramid.levels:
            weights = self.W1[start : start + level.channels]
            start += level.channels
            hidden += _spread(level, weights, shape)
        np.maximum(hidden, 0, out=hidden)
        logits = hidden.reshape(-1, len(self.b1)) @ self.W2 + self.b2
        return np.ascontiguousarray(logits.T).reshape(-1, height, width)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store."""
        arrays = {"W1": self.W1, "b1": self.b1, "W2": self.W2, "b2": self.b2}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()} | {
            "channels": np.array(self.channels, dtype=np.int64)
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PixelProbe:
        """Build from what `to_arrays` returned; other entries are ignored."""
        channels = tuple(arrays["channels"].tolist())
        return cls(W1=arrays["W1"], b1=arrays["b1"], W2=arrays["W2"], b2=arrays["b2"], channels=channels)


def _spread(level: Level, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a level's part of the first layer at evenly spread points, float32 of shape (*shape, H)."""
    h, w, channels = level.values.shape
    made = level.values.reshape(-1, channels).astype(np.float32) @ (level.step[:, None] * weights)
    made += level.low @ weights
    rows = level.resampling(shape[0], 0) @ made.reshape(h, -1)
    spread: np.ndarray = level.resampling(shape[1], 1) @ rows.reshape(shape[0], w, -1)
    return spread


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the first axis, in place."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits
