"""An image with its mask on disk, and a set of them. Masks are read one at a time, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml.datasets.example import DatasetError, Problem
from ml.images import ImageLimits, upright_size
from ml.masks import MaskError
from ml.masks.classes import MaskClasses

LIMITS = ImageLimits()


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and its mask.

    Attributes
    ----------
    image : str
        Path or URI as the source has it.
    load : callable
        Returns the mask, (H, W) of uint8 or uint16, as the source has it. Raises MaskError or OSError.
    path : Path or None
        The image's file; None where there is only a URI.
    split : str
        ``train``, ``val``, ``test`` or another part of the set; empty without parts.
    where : str
        The place in the source, for messages.
    name : str
        What the image is called where its file has no name of its own, as in a cache; empty: as its file.
    """

    image: str
    load: Callable[[], np.ndarray]
    path: Path | None = None
    split: str = ""
    where: str = ""
    name: str = ""

    def size(self) -> tuple[int, int] | None:
        """Return height and width of the image, upright; None where it is not on this machine.

        Raises
        ------
        ImageError
            If the file is no image.
        OSError
            If it cannot be read.
        """
        if self.path is None:
            return None
        width, height = upright_size(self.path.read_bytes(), limits=LIMITS)
        return height, width


@dataclass(frozen=True)
class MaskSet:
    """Images with masks.

    Attributes
    ----------
    source : Path
    classes : MaskClasses
    scenes : list of Scene
    problems : list of Problem
        What was left out.
    unlabelled : int
        Images that nobody has drawn on yet; they are not among the scenes.
    """

    source: Path
    classes: MaskClasses
    scenes: list[Scene]
    problems: list[Problem] = field(default_factory=list)
    unlabelled: int = 0

    def __len__(self) -> int:
        return len(self.scenes)

    def __iter__(self) -> Iterator[Scene]:
        return iter(self.scenes)

    def mask(self, scene: Scene) -> np.ndarray:
        """Return the mask of one of the scenes, (H, W), of the image's size and with classes of the list alone.

        Raises
        ------
        MaskError
            If it is broken, of another size than its image, or has numbers of no class.
        ImageError
            If the image is broken.
        OSError
            If one of them cannot be read.
        """
        mask = scene.load()
        size = scene.size()
        if size is not None and mask.shape != size:
            raise MaskError(f"the mask has {describe(mask.shape)} pixels, but the image {describe(size)}")
        unknown = self.classes.unknown(mask)
        if unknown:
            numbers = ", ".join(f"{number} ({count} pixels)" for number, count in list(unknown.items())[:5])
            raise MaskError(
                f"the mask has numbers of no class: {numbers}; there are {len(self.classes.names)} classes"
            )
        return mask.astype(self.classes.dtype, copy=False)


def of_part(found: MaskSet, part: str) -> list[Scene]:
    """Return the scenes of one part of a set, all without a name.

    Raises
    ------
    DatasetError
        If it has no such part.
    """
    chosen = [scene for scene in found if not part or scene.split == part]
    if not chosen:
        there = ", ".join(sorted({one.split for one in found} - {""})) or "none"
        raise DatasetError(f"{found.source} has no part {part!r}; there are {there}")
    return chosen


def describe(shape: tuple[int, ...]) -> str:
    """Return ``width x height``."""
    return f"{shape[1]} x {shape[0]}"
