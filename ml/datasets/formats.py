"""The registry of dataset formats. A new format is one module and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ml.datasets import csv, folders, json, jsonl, label_studio, tsv
from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.options import ReadOptions, WriteOptions


class Format(Protocol):
    """A format's module.

    Attributes
    ----------
    NAME : str
    HOLDS_PATHS : bool
        Whether it names images by their paths relative to the file.
    """

    NAME: str
    HOLDS_PATHS: bool

    def sniff(self, path: Path) -> bool:
        """Tell whether something on disk looks like this format."""
        ...

    def read(self, path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
        """Yield what is in it, in order."""
        ...

    def write(self, examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
        """Write a new file or folder; return what had to be left out."""
        ...


# the first that knows a file by its looks reads it, so the particular ones come first
FORMATS: dict[str, Format] = {
    module.NAME: module for module in (jsonl, csv, label_studio, json, tsv, folders)
}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    "": "folders",
}


def find_format(name: str) -> Format:
    """Return a format by name.

    Raises
    ------
    DatasetError
        If there is none.
    """
    if name not in FORMATS:
        raise DatasetError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(path: Path) -> Format:
    """Return the format something on disk is of.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    DatasetError
        If it looks like none.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    for format in FORMATS.values():
        if format.sniff(path):
            return format
    raise DatasetError(f"{path} looks like no format there is ({', '.join(FORMATS)}): say which with --from")


def format_for(out: Path) -> Format:
    """Return the format to write a new file or folder in, by its name.

    Raises
    ------
    DatasetError
        If the name does not tell.
    """
    name = _SUFFIXES.get(out.suffix.lower())
    if name is None:
        raise DatasetError(f"{out.name} does not tell its format ({', '.join(FORMATS)}): say which with --to")
    return FORMATS[name]
