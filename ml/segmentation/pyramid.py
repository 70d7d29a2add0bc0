"""The features of an image's pixels, coarse and fine, small enough to keep for ten thousand images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

_STEPS = 255


@dataclass(frozen=True)
class Level:
    """Features at one stride, a byte a value.

    Attributes
    ----------
    values : ndarray of uint8, shape (h, w, c)
    low, step : ndarray of float32, shape (c,)
        A feature is ``low + step * value``.
    place : ndarray of float64, shape (2, 2)
        For rows and for columns: where the centre of the first cell is, and how far the next one is from it, as
        shares of the image's height or width. Cells may lie beyond the image's edge.
    """

    values: np.ndarray
    low: np.ndarray
    step: np.ndarray
    place: np.ndarray

    @classmethod
    def quantised(cls, features: np.ndarray, place: np.ndarray) -> Level:
        """Round features of shape (h, w, c) to 256 steps a channel between its least and its largest."""
        features = np.asarray(features, dtype=np.float32)
        low, high = features.min(axis=(0, 1)), features.max(axis=(0, 1))
        step = np.maximum(high - low, 1e-12) / _STEPS
        values = np.rint((features - low) / step).astype(np.uint8)
        return cls(values, low, step.astype(np.float32), np.asarray(place, dtype=np.float64))

    @property
    def channels(self) -> int:
        """How many features a cell has."""
        return self.values.shape[2]

    def features(self) -> np.ndarray:
        """Return the features, float32 of shape (h, w, c)."""
        return self.low + self.step * self.values

    def cells(self, shares: np.ndarray, axis: int) -> np.ndarray:
        """Return where points of the image are among the cells, the outermost centres at most.

        Parameters
        ----------
        shares : ndarray of float
            Of the image's height (axis 0) or width (axis 1).
        axis : int
        """
        first, step = self.place[axis]
        return np.clip((shares - first) / step, 0, self.values.shape[axis] - 1)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the features of points by bilinear interpolation, float32 of shape (n, c).

        Parameters
        ----------
        y, x : ndarray of float, shape (n,)
            Shares of the image's height and width.
        """
        rows, columns = self.cells(y, 0), self.cells(x, 1)
        above, left = rows.astype(np.int64), columns.astype(np.int64)
        below = np.minimum(above + 1, self.values.shape[0] - 1)
        right = np.minimum(left + 1, self.values.shape[1] - 1)
        s, t = ((rows - above)[:, None]).astype(np.float32), ((columns - left)[:, None]).astype(np.float32)
        found = self.values[above, left] * ((1 - s) * (1 - t))
        found += self.values[above, right] * ((1 - s) * t)
        found += self.values[below, left] * (s * (1 - t))
        found += self.values[below, right] * (s * t)
        return self.low + self.step * found

    def resampling(self, n: int, axis: int) -> np.ndarray:
        """Return the matrix from cells to ``n`` pixels that share the image evenly, float32 of shape (n, cells)."""
        cells = self.cells((np.arange(n) + 0.5) / n, axis)
        first = cells.astype(np.int64)
        matrix = np.zeros((n, self.values.shape[axis]), dtype=np.float32)
        row = np.arange(n)
        matrix[row, first] = 1 - (cells - first)
        # where the last cell is the only neighbour its share is 1, and nothing is added
        matrix[row, np.minimum(first + 1, matrix.shape[1] - 1)] += cells - first
        return matrix


@dataclass(frozen=True)
class Pyramid:
    """The features of an image.

    Attributes
    ----------
    size : (int, int)
        Height and width of the image, upright, in full.
    levels : tuple of Level
        The finest first.
    """

    size: tuple[int, int]
    levels: tuple[Level, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """How many features a cell of each level has."""
        return tuple(level.channels for level in self.levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return sum(level.values.nbytes for level in self.levels)

    def at(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return the features of points from all levels, float32 of shape (n, channels); see `Level.at`."""
        return np.concatenate([level.at(y, x) for level in self.levels], axis=1)

    def to_bytes(self) -> bytes:
        """Return it as a safetensors file."""
        arrays = {"size": np.array(self.size, dtype=np.int64)}
        for number, level in enumerate(self.levels):
            for name in ("values", "low", "step", "place"):
                arrays[f"{number}.{name}"] = np.ascontiguousarray(getattr(level, name))
        content: bytes = save(arrays)
        return content

    @classmethod
    def from_bytes(cls, data: bytes) -> Pyramid:
        """Build from what `to_bytes` returned.

        Raises
        ------
        ValueError
            If it is something else, or damaged.
        """
        try:
            arrays = load(data)
            height, width = arrays.pop("size").tolist()
            levels = tuple(
                Level(*(arrays[f"{number}.{name}"] for name in ("values", "low", "step", "place")))
                for number in range(len(arrays) // 4)
            )
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"these are not the features of an image: {error}") from error
        if not levels or any(not _whole(level) for level in levels):
            raise ValueError("these are not the features of an image: the shapes of a level do not fit")
        return cls((height, width), levels)


def _whole(level: Level) -> bool:
    depth = level.values.shape[-1:]
    return (
        level.values.ndim == 3
        and level.values.dtype == np.uint8
        and level.low.shape == depth
        and level.step.shape == depth
        and level.place.shape == (2, 2)
    )


def even_place(shape: tuple[int, int]) -> np.ndarray:
    """Return the place of cells that share the image evenly."""
    return np.array([[0.5 / cells, 1.0 / cells] for cells in shape])
