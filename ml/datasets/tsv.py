"""``name<TAB>class`` a line, without a header: one file, or a folder of such files beside a folder of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.find import SUFFIXES
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import locate

NAME = "tsv"
HOLDS_PATHS = True
_SUFFIXES = (".tsv", ".txt")
_FORBIDDEN = ("\t", "\n", "\r")


def sniff(path: Path) -> bool:
    """Tell by the names whether a file is of this format, or every file of a folder."""
    if path.is_file():
        return path.suffix.lower() in _SUFFIXES
    return path.is_dir() and bool(_files(path)) and all(map(_is_list, _files(path)))


def _is_list(path: Path) -> bool:
    """Tell whether the first line has a tab, or is the name of an image: notes beside images have neither."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first = next((line.strip() for line in file if line.strip()), "")
    return "\t" in first or Path(first).suffix.lower() in SUFFIXES


def _files(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.suffix.lower() in _SUFFIXES)


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield the examples; images are looked for beside the file, and in a folder ``images`` beside it.

    A line without a tab is an image without a label.
    """
    for file in _files(path) if path.is_dir() else [path]:
        base = path if path.is_dir() else path.parent
        folders = options.folders(base, base / "images", base.parent / "images")
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                text = line.rstrip("\r\n")
                if text.strip():
                    yield _example(text, f"{file.name}, line {number}", folders)


def _example(text: str, where: str, folders: list[Path]) -> Example | Problem:
    name, _, label = text.partition("\t")
    if "\t" in label:
        return Problem(where, f"has more than a name and a class: {text[:80]!r}")
    if not name.strip():
        return Problem(where, "has no name before the tab")
    return locate(Example(name.strip(), label.strip() or None, None, where), folders)


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Write a file; images stay where they are, further columns are left out.

    Raises
    ------
    DatasetError
        If an image has several classes, or a name holds a tab or a line break.
    """
    with out.open("w", encoding="utf-8") as file:
        for example in examples:
            if isinstance(example.label, list):
                raise DatasetError(f"{example.where}: TSV has one class an image, not {example.label}")
            for text in (example.image, example.label or ""):
                if any(sign in text for sign in _FORBIDDEN):
                    raise DatasetError(
                        f"{example.where}: {text!r} holds a tab or a line break; write JSONL instead"
                    )
            file.write(f"{example.image}\t{example.label}\n" if example.label else f"{example.image}\n")
    return []
