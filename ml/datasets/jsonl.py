"""One JSON object a line, ``{"image": "images/0.jpg", "label": "red"}``; paths are relative to the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml.datasets.example import Example, Problem
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import example_of_row

NAME = "jsonl"
HOLDS_PATHS = True


def sniff(path: Path) -> bool:
    """Tell by the name whether a file is of this format."""
    return path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson")


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield the examples; empty lines are left out."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _example(line, f"{path.name}, line {number}", path.parent, options)


def _example(line: str, where: str, folder: Path, options: ReadOptions) -> Example | Problem:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        return Problem(where, f"is not JSON: {error}")
    if not isinstance(row, dict):
        return Problem(where, f'is not an object like {{"image": ..., "label": ...}} but {line.strip()[:80]}')
    return example_of_row(row, where, folder, options)


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Write a file; images stay where they are."""
    with out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(example.as_row(), ensure_ascii=False) + "\n" for example in examples)
    return []
