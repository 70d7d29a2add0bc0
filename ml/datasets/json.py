"""One JSON array of objects, as JSONL has them a line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import example_of_row

NAME = "json"
HOLDS_PATHS = True


def load_array(path: Path) -> list[Any]:
    """Return the array in a file.

    Raises
    ------
    DatasetError
        If it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, list):
        raise DatasetError(f"{path} must hold a JSON array, not {type(found).__name__}")
    return found


def sniff(path: Path) -> bool:
    """Tell whether a file is of this format: Label Studio's tasks, which have ``data``, are not."""
    return path.is_file() and path.suffix.lower() == ".json"


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield the examples."""
    for number, row in enumerate(load_array(path), 1):
        where = f"{path.name}, entry {number}"
        if not isinstance(row, dict):
            yield Problem(where, f'is not an object like {{"image": ..., "label": ...}} but {str(row)[:80]}')
        else:
            yield example_of_row(row, where, path.parent, options)


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Write a file; images stay where they are."""
    text = json.dumps([example.as_row() for example in examples], ensure_ascii=False, indent=1)
    out.write_text(text + "\n", encoding="utf-8")
    return []
