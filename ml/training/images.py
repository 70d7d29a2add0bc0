"""Images decoded once, at training size, in one array on disk that folds, epochs and processes share."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.datasets import DatasetError, Example, Problem
from ml.datasets.example import unusable
from ml.datasets.options import ReadImage, read_file
from ml.embedders.preprocess import Preprocess
from ml.embedders.stream import in_order, worker_threads
from ml.embedders.threads import usable_cpus
from ml.images import ImageError, ImageLimits, decode_reduced

_AHEAD = 8  # images a thread has waiting
_SPARE = 100_000_000  # bytes of the disk that are left free

Done = Callable[[int, int], None]


@dataclass(frozen=True)
class Pixels:
    """Decoded images.

    Attributes
    ----------
    array : ndarray of uint8, shape (n, height, width, 3)
        Mapped from a file.
    rows : ndarray of int
        Rows that hold an image: the others could not be decoded.
    problems : list of Problem
        Why they could not.
    """

    array: np.ndarray
    rows: np.ndarray
    problems: list[Problem]


def cache_pixels(
    examples: Sequence[Example],
    preprocess: Preprocess,
    path: Path,
    *,
    skip_problems: bool = False,
    limits: ImageLimits | None = None,
    threads: int | None = None,
    done: Done | None = None,
    read: ReadImage = read_file,
) -> Pixels:
    """Decode images into an array on disk.

    Parameters
    ----------
    examples : sequence of Example, length n
    preprocess : Preprocess
        Says what part of an image is kept, and at which size.
    path : Path
        Of the array, ``.npy``. One that is there is read: it is of these examples, whoever names it says.
    skip_problems : bool
        Leave out images that cannot be used instead of refusing them all.
    limits : ImageLimits, optional
    threads : int, optional
        Default: a thread a core.
    done : callable, optional
        Told of how many images of how many are decoded.
    read : callable
        Returns the bytes of an image; `OSError` and `ValueError` cost only the image.

    Raises
    ------
    DatasetError
        If images cannot be used and are not skipped; the first ones are named.
    OSError
        If the disk has not the room; the message says how much is needed.
    """
    shape = (len(examples), *preprocess.shape, 3)
    bad_rows = path.with_suffix(".bad.npy")
    if path.exists() and bad_rows.exists():
        array, bad = np.load(path, mmap_mode="r"), np.load(bad_rows)
        if array.shape == shape:
            lost = [Problem(examples[row].where, "was left out before") for row in bad]
            return Pixels(array, np.setdiff1d(np.arange(len(examples)), bad), lost)
    _require_room(path, shape)
    draft = path.with_suffix(".part.npy")
    array = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape)
    _reserve(draft)
    problems: dict[int, Problem] = {}
    decoded = _decode(examples, preprocess, limits or ImageLimits(), threads or usable_cpus(), read)
    for number, (row, pixels) in enumerate(decoded, 1):
        if isinstance(pixels, Problem):
            problems[row] = pixels
        else:
            array[row] = pixels
        if done is not None:
            done(number, len(examples))
    if problems and not skip_problems:
        del array
        draft.unlink()
        raise DatasetError(unusable(list(problems.values()), len(examples)))
    array.flush()
    del array
    bad = np.array(sorted(problems), dtype=np.int64)
    np.save(bad_rows, bad)
    draft.replace(path)
    rows = np.setdiff1d(np.arange(len(examples)), bad)
    return Pixels(np.load(path, mmap_mode="r"), rows, [problems[row] for row in bad.tolist()])


def _decode(
    examples: Sequence[Example], preprocess: Preprocess, limits: ImageLimits, threads: int, read: ReadImage
) -> Iterator[tuple[int, np.ndarray | Problem]]:
    def work(row: int) -> list[tuple[int, np.ndarray | Problem]]:
        return [(row, _prepared(examples[row], preprocess, limits, read))]

    with worker_threads(threads, "decode") as pool:
        yield from in_order(pool, work, range(len(examples)), _AHEAD * threads)


def _prepared(
    example: Example, preprocess: Preprocess, limits: ImageLimits, read: ReadImage
) -> np.ndarray | Problem:
    try:
        image, _ = decode_reduced(read(example), limits=limits, side=preprocess.decode_side)
    except ImageError as error:
        return Problem(f"{example.where} ({example.image})", str(error))
    except (OSError, ValueError) as error:  # the file is not there; these messages name it
        return Problem(example.where, str(error))
    return preprocess.prepare(image)


def _reserve(path: Path) -> None:
    """Take the room of a file that is all holes: writing into a mapped hole of a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _require_room(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse before the work what would end in the middle of it.

    Raises
    ------
    OSError
        If the disk has not the room.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = int(np.prod(shape, dtype=np.int64)), shutil.disk_usage(path.parent).free
    if needed + _SPARE > free:
        raise OSError(
            errno.ENOSPC,
            f"{shape[0]:,} images of {shape[1]} x {shape[2]} pixels take {needed / 1e9:.1f} GB in {path.parent}, which "
            f"has {free / 1e9:.1f} GB left: make room, have it done in another folder, or train on a smaller "
            "Dataset.transform.resize",
        )
