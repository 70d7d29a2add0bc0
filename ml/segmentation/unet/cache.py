"""Images and masks decoded once, each at its work size, one after the other in one file that epochs map."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ml.datasets import Problem
from ml.embedders.stream import in_order, worker_threads
from ml.embedders.threads import usable_cpus
from ml.images import decode_reduced
from ml.mask_sets import refuse
from ml.mask_sets.scene import LIMITS, MaskSet, Scene
from ml.segmentation.sizes import shrink_mask, work_size

_AHEAD = 4  # images a thread has waiting

Done = Callable[[int, int], None]
Decoded = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CachedScenes:
    """Decoded images with their masks.

    Attributes
    ----------
    data : ndarray of uint8, shape (bytes,)
        Mapped from a file: pixels, then mask, of one image after the other.
    places : ndarray of int64, shape (n, 3)
        Where each begins, its height and its width; height 0: it could not be used.
    dtype : numpy.dtype
        Of masks.
    problems : list of Problem
        Why some could not be used.
    """

    data: np.ndarray
    places: np.ndarray
    dtype: np.dtype[np.uint8] | np.dtype[np.uint16]
    problems: list[Problem]

    @property
    def rows(self) -> np.ndarray:
        """Rows that hold an image."""
        return np.flatnonzero(self.places[:, 1])

    @property
    def sizes(self) -> np.ndarray:
        """Heights and widths, int64 of shape (n, 2)."""
        return self.places[:, 1:]

    def image(self, row: int) -> np.ndarray:
        """Return an image, uint8 of shape (height, width, 3); a view that cannot be written."""
        start, height, width = self.places[row].tolist()
        return self.data[start : start + 3 * height * width].reshape(height, width, 3)

    def mask(self, row: int) -> np.ndarray:
        """Return its mask, uint8 or uint16 of shape (height, width)."""
        start, height, width = self.places[row].tolist()
        start += 3 * height * width
        mask: np.ndarray = np.frombuffer(
            self.data[start : start + self.dtype.itemsize * height * width].tobytes(), dtype=self.dtype
        )
        return mask.reshape(height, width)


def load_scene(found: MaskSet, scene: Scene, side: int) -> Decoded:
    """Return image and mask of a scene at work size, uint8 of shape (h, w, 3) and a mask (h, w).

    Raises
    ------
    MaskError
        If the mask cannot be used.
    ImageError
        If the image is broken.
    OSError
        If one of them cannot be read.
    """
    image, _ = open_image(scene, side)
    mask = found.mask(scene)
    size = work_size(mask.shape[0], mask.shape[1], side)
    return resized(image, size), shrink_mask(mask, size)


def open_image(scene: Scene, side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return the image of a scene, upright, RGB, with all that a resize to a longer side can use; and its full size.

    The size is height and width.

    Raises
    ------
    ImageError
        If it is broken.
    OSError
        If it is not on this machine or cannot be read.
    """
    if scene.path is None:
        raise FileNotFoundError(
            f"{scene.image} is not on this machine: --images FOLDER says where images are"
        )
    image, (width, height) = decode_reduced(scene.path.read_bytes(), limits=LIMITS, side=side)
    return image, (height, width)


def resized(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return an RGB image at a height and width, uint8 of shape (height, width, 3)."""
    if (image.height, image.width) != size:
        image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image)


def cache_scenes(
    found: MaskSet,
    scenes: Sequence[Scene],
    side: int,
    path: Path,
    *,
    skip_problems: bool = False,
    done: Done | None = None,
) -> CachedScenes:
    """Decode images and masks into a file.

    A few images a core are in memory at a time, whatever the set's size.

    Parameters
    ----------
    found : MaskSet
    scenes : sequence of Scene, length n
        Of it.
    side : int
        Longer side of what is kept.
    path : Path
        Of the file. One that is there is read: it is of these scenes, whoever names it says.
    skip_problems : bool
        Leave out what cannot be used instead of refusing it all.
    done : callable, optional
        Told of how many of how many are decoded.

    Raises
    ------
    DatasetError
        If some cannot be used and are not skipped; the first ones are named.
    OSError
        If the file cannot be written.
    """
    kept = path.with_suffix(".places.npy")
    if path.exists() and kept.exists() and len(places := np.load(kept)) == len(scenes):
        lost = [
            Problem(scenes[row].where, "was left out before") for row in np.flatnonzero(places[:, 1] == 0)
        ]
        return CachedScenes(np.memmap(path, np.uint8, "r"), places, found.classes.dtype, lost)
    path.parent.mkdir(parents=True, exist_ok=True)
    places, problems = np.zeros((len(scenes), 3), dtype=np.int64), []
    draft = path.with_suffix(".part")
    with draft.open("wb") as file:
        for row, one in enumerate(_decode(found, scenes, side)):
            if isinstance(one, Problem):
                problems.append(one)
            else:
                places[row] = file.tell(), *one[1].shape
                _append(file, one, row, len(scenes))
            if done is not None:
                done(row + 1, len(scenes))
    if problems and (not skip_problems or len(problems) == len(scenes)):
        draft.unlink()
        refuse(found, problems, len(scenes))
    np.save(kept, places)
    draft.replace(path)
    return CachedScenes(np.memmap(path, np.uint8, "r"), places, found.classes.dtype, problems)


def _decode(found: MaskSet, scenes: Sequence[Scene], side: int) -> Iterator[Decoded | Problem]:
    def work(row: int) -> list[Decoded | Problem]:
        scene = scenes[row]
        try:
            return [load_scene(found, scene, side)]
        except (OSError, ValueError) as error:
            return [Problem(scene.where or scene.image, str(error))]

    threads = usable_cpus()
    with worker_threads(threads, "decode") as pool:
        yield from in_order(pool, work, range(len(scenes)), _AHEAD * threads)


def _append(file: BinaryIO, one: Decoded, row: int, total: int) -> None:
    try:
        for part in one:
            file.write(np.ascontiguousarray(part).data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        needed = file.tell() / max(row, 1) * total / 1e9
        os.unlink(file.name)
        raise OSError(
            errno.ENOSPC,
            f"{total:,} images take about {needed:.1f} GB beside the run, and the disk is full: make room, choose "
            "another --out, or train on a smaller Dataset.side",
        ) from error
