"""From a row with named columns to an example: what JSONL and CSV share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml.datasets.example import Example, Problem
from ml.datasets.find import find_image, is_uri
from ml.datasets.options import ReadOptions

IMAGE_COLUMNS = ("image", "image_path", "file_name", "filename", "file", "path", "name")
LABEL_COLUMNS = ("label", "class", "category", "target")


def image_column(columns: Mapping[str, Any], options: ReadOptions) -> str | None:
    """Return the column that holds the image, None if there is none."""
    return _column(columns, (options.image_column,) if options.image_column else IMAGE_COLUMNS)


def label_column(columns: Mapping[str, Any], options: ReadOptions) -> str | None:
    """Return the column that holds the label, None if there is none."""
    return _column(columns, (options.label_column,) if options.label_column else LABEL_COLUMNS)


def _column(columns: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in columns), None)


def example_of_row(
    row: Mapping[str, Any], where: str, folder: Path, options: ReadOptions
) -> Example | Problem:
    """Return the example a row stands for.

    Parameters
    ----------
    row : mapping of column to value
        The label is a text, a number, a list of texts, or None or empty where there is none.
    where : str
        The row's place, for messages.
    folder : Path
        Of the file: names are relative to it, unless ``options`` says another one.
    """
    of_image, of_label = image_column(row, options), label_column(row, options)
    if of_image is None:
        wanted = options.image_column or "image"
        return Problem(where, f"has no {wanted!r}, only {', '.join(map(repr, row)) or 'nothing'}")
    name, label = row[of_image], row[of_label] if of_label else None
    if not isinstance(name, str) or not name:
        return Problem(where, f"{of_image!r} must be a path, not {name!r}")
    if not _is_label(label):
        return Problem(where, f"{of_label!r} must be the name of a class, not {label!r}")
    more = {column: value for column, value in row.items() if column not in (of_image, of_label)}
    return locate(Example(name, _text(label), None, where, more), options.folders(folder))


def locate(example: Example, folders: list[Path]) -> Example | Problem:
    """Return an example with the path of its image; a problem where there is no such file and it is no URI."""
    path = find_image(example.image, folders)
    if path is None and not is_uri(example.image):
        looked = " or ".join(map(str, folders))
        return Problem(example.where, f"there is no image {example.image} in {looked}")
    return Example(example.image, example.label, path, example.where, example.more)


def _is_label(label: Any) -> bool:
    if isinstance(label, list):
        return all(isinstance(one, str) for one in label)
    return label is None or (isinstance(label, str | int | float) and not isinstance(label, bool))


def _text(label: Any) -> str | list[str] | None:
    if label is None or label == "":
        return None
    return label if isinstance(label, list) else str(label)
