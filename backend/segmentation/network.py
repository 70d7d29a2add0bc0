"""Masks that a project's own network draws, as files by content: a network takes a second an image without a GPU."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from backend.embedding.stage import Item
from backend.labelstudio.fetch import ImageFetcher
from ml.images import ImageLimits, decode_reduced, upright_size
from ml.masks.png import read_png, write_png
from ml.segmentation.sizes import enlarge_probs_to_mask, work_size
from ml.whole_files import read_whole, write_whole

if TYPE_CHECKING:
    from ml.segmentation.unet.model import UNetModel

log = logging.getLogger(__name__)

FOLDER = "drawn"


@dataclass(frozen=True)
class Drawn:
    """A mask at the size of its image, and the mean probability of each class where it is drawn, shape (K,)."""

    mask: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, probs: np.ndarray, shape: tuple[int, int]) -> Drawn:
        """Return the mask of probabilities (K, h, w) at height and width ``shape``."""
        top = probs.argmax(axis=0)
        sums = np.array([probs[number][top == number].sum() for number in range(len(probs))])
        counts = np.bincount(top.ravel(), minlength=len(probs))
        return cls(enlarge_probs_to_mask(probs, shape), (sums / np.maximum(counts, 1)).astype(np.float32))

    def to_bytes(self) -> bytes:
        """Return it as a safetensors file."""
        png = np.frombuffer(write_png(self.mask), dtype=np.uint8)
        content: bytes = save({"png": png, "scores": self.scores})
        return content

    @classmethod
    def from_bytes(cls, data: bytes) -> Drawn:
        """Build from what `to_bytes` returned.

        Raises
        ------
        ValueError
            If it is something else, or damaged.
        """
        try:
            arrays = load(data)
            return cls(read_png(arrays["png"].tobytes()), arrays["scores"])
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"this is not a drawn mask: {error}") from error


class DrawnMasks:
    """The masks of one network in one project, on this machine; whoever misses one draws it again.

    Parameters
    ----------
    root : Path
        The project's folder.
    network : str
        Id of the backbone.
    """

    def __init__(self, root: Path, network: str) -> None:
        self.folder = root / FOLDER / network

    def has(self, key: str) -> bool:
        """Tell whether a content's mask is there."""
        return self._path(key).is_file()

    def get(self, key: str) -> Drawn | None:
        """Return a content's mask, None where it is not there. A damaged file is removed, and the log says so."""
        return read_whole(self._path(key), Drawn.from_bytes)

    def put(self, key: str, drawn: Drawn) -> None:
        """Keep a content's mask: the file is there in whole or not at all."""
        write_whole(self._path(key), drawn.to_bytes())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def forget_drawn(root: Path, network: str | None) -> None:
    """Delete the masks of a project's other networks than the one in use."""
    folder = root / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name == network:
            continue
        try:
            shutil.rmtree(path)
        except OSError as error:  # somebody still draws there
            log.warning("%s is no longer needed and goes after the next refresh: %s", path, error)


@dataclass(frozen=True)
class Painter:
    """A network at work: fetches images, draws, and keeps what it drew."""

    model: UNetModel
    masks: DrawnMasks
    fetcher: ImageFetcher
    limits: ImageLimits

    def draw(self, project_id: int, item: Item, key: str) -> Drawn:
        """Return the mask of an image, drawn once.

        Raises
        ------
        ImageFetchError, ImageError
            If the image cannot be had or read.
        LabelStudioError
            If Label Studio cannot be reached.
        """
        if (known := self.masks.get(key)) is not None:
            return known
        task_id, uri = item
        data = self.fetcher.fetch(uri, task_id, project_id)
        drawn = paint(self.model, data, self.limits)
        self.masks.put(key, drawn)
        return drawn


def paint(model: UNetModel, data: bytes, limits: ImageLimits) -> Drawn:
    """Have a network draw the mask of an image file.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    width, height = upright_size(data, limits=limits)
    image, _ = decode_reduced(data, limits=limits, side=min(work_size(height, width, model.side)))
    return Drawn.of(model.probabilities(image, work_size(height, width)), (height, width))
