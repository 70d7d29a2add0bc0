"""Copies of a dataset's images in a folder, under names that stay inside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ml.datasets.example import Example
from ml.datasets.find import is_uri
from ml.datasets.folders import file_name, free_path
from ml.datasets.options import read_file


def copy_images(examples: Iterable[Example], folder: Path) -> None:
    """Copy images into a new folder: those of a folder with their own folders, others by file name.

    Parameters
    ----------
    examples : iterable of Example
        Each with a path. What ``image`` says may come from anybody: nothing is written outside ``folder``.
    folder : Path

    Raises
    ------
    OSError, ValueError
        If an image cannot be read or written.
    """
    folder.mkdir()
    for example in examples:
        data, name = read_file(example), PurePosixPath(example.image)
        if is_uri(example.image) or name.is_absolute() or ".." in name.parts:
            target = free_path(folder, file_name(example, data))
        else:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
