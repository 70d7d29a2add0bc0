"""One JSON array of objects, as JSONL has them a line each."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import example_of_row

_MARK = codecs.BOM_UTF8
_BLOCK = 1 << 20

NAME = "json"
HOLDS_PATHS = True


def read_array(path: Path) -> Iterator[Any]:
    """Yield what the array in a file holds, one at a time: an export with masks is far larger than what it becomes.

    Raises
    ------
    DatasetError
        If it holds something else.
    """
    import ijson  # a server that serves what was published does without

    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            file.seek(0)
        begin = file.tell()
        first = file.read(1_000).lstrip()[:1]
        if first not in (b"[", b""):
            raise DatasetError(
                f"{path} must hold a JSON array, not what begins with {first.decode('ascii', 'replace')}"
            )
        file.seek(begin)
        try:
            yield from ijson.items(file, "item", use_float=True)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path} is not JSON: {' '.join(str(error).split())}") from error


def mentions(path: Path, keys: Iterable[str]) -> set[str]:
    """Return those of the keys that stand in a JSON file, whatever its size, in quotation marks."""
    wanted = {f'"{key}"'.encode(): key for key in keys}
    overlap = max(map(len, wanted), default=1) - 1
    found: set[str] = set()
    with path.open("rb") as file:
        rest = b""
        while (block := file.read(_BLOCK)) and len(found) < len(wanted):
            block = rest + block
            found.update(key for text, key in wanted.items() if text in block)
            rest = block[-overlap:]
    return found


def sniff(path: Path) -> bool:
    """Tell whether a file is of this format: Label Studio's tasks, which have ``data``, are not."""
    return path.is_file() and path.suffix.lower() == ".json"


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield the examples."""
    for number, row in enumerate(read_array(path), 1):
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
