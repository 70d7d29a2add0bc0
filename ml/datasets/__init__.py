"""Datasets on disk: images with labels, in and out of the formats people have them in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ml.datasets.example import Dataset, DatasetError, Example, Problem, list_problems, unusable
from ml.datasets.formats import FORMATS, find_format, format_for, format_of
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.place import placed

__all__ = [
    "FORMATS",
    "Dataset",
    "DatasetError",
    "Example",
    "Problem",
    "ReadOptions",
    "WriteOptions",
    "collect",
    "find_format",
    "read_dataset",
    "write_dataset",
]


def read_dataset(
    path: Path, *, format: str = "", options: ReadOptions | None = None, skip_problems: bool = False
) -> Dataset:
    """Read a dataset.

    Parameters
    ----------
    path : Path
        A file, or a folder.
    format : str
        One of `FORMATS`; empty: what it looks like.
    options : ReadOptions, optional
    skip_problems : bool
        Leave out what cannot be used, and name it in ``problems``, instead of refusing it all.

    Raises
    ------
    DatasetError
        If it is of no known format, has no image, or has problems that are not skipped.
    OSError
        If it is not there or cannot be read.
    """
    found = find_format(format) if format else format_of(path)
    try:
        entries = found.read(path, options or ReadOptions())
        return collect(path, entries, read_as=found.NAME, skip_problems=skip_problems)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8: {error}") from error


def collect(
    source: Path, entries: Iterator[Example | Problem], *, read_as: str, skip_problems: bool = False
) -> Dataset:
    """Return the dataset that a reader yields, whatever it reads.

    Parameters
    ----------
    source : Path
        What messages and files made of the dataset are called after.
    read_as : str
        What the source was taken for, for messages.

    Raises
    ------
    DatasetError
        If there is no image, or there are problems that are not skipped.
    """
    dataset = Dataset(source, [], [])
    for one in entries:
        if isinstance(one, Problem):
            dataset.problems.append(one)
        else:
            dataset.examples.append(one)
    if dataset.problems and not skip_problems:
        total = len(dataset) + len(dataset.problems)
        raise DatasetError(f"{source}: {unusable(dataset.problems, total, 'entries')}")
    if not dataset.examples:
        what = f":\n{list_problems(dataset.problems)}" if dataset.problems else ""
        raise DatasetError(f"{source}, read as {read_as}, has no image{what}")
    return dataset


def write_dataset(
    examples: Iterable[Example],
    out: Path,
    *,
    format: str = "",
    options: WriteOptions | None = None,
    force: bool = False,
) -> list[Problem]:
    """Write a dataset, whole or not at all.

    Paths of images become relative to the folder of ``out``; URIs stay.

    Parameters
    ----------
    format : str
        One of `FORMATS`; empty: what the name of ``out`` says.
    force : bool
        Write over a file, or over a folder that was written like this.

    Returns
    -------
    list of Problem
        Images that could not be read, where the format holds images.

    Raises
    ------
    DatasetError
        If the format is unknown, or cannot hold an example.
    FileExistsError
        If ``out`` is there and may not be written over.
    """
    chosen = find_format(format) if format else format_for(out)
    here = out.absolute().parent
    if chosen.HOLDS_PATHS:
        examples = [_relative(example, here) for example in examples]
    with placed(out, force=force) as draft:
        return chosen.write(examples, draft, options or WriteOptions())


def _relative(example: Example, folder: Path) -> Example:
    if example.path is None:
        return example
    return replace(example, image=Path(os.path.relpath(example.path.absolute(), folder)).as_posix())
