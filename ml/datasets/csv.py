"""Comma-separated values with a header line; paths are relative to the file.

A value that is missing is an empty cell. How texts that a spreadsheet would run are kept: `ml.datasets.cells`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from ml.datasets.cells import cell, value_of
from ml.datasets.example import DatasetError, Example, Problem
from ml.datasets.options import ReadOptions, WriteOptions
from ml.datasets.rows import example_of_row, image_column, label_column

NAME = "csv"
HOLDS_PATHS = True


def sniff(path: Path) -> bool:
    """Tell by the name whether a file is of this format."""
    return path.is_file() and path.suffix.lower() == ".csv"


def read(path: Path, options: ReadOptions) -> Iterator[Example | Problem]:
    """Yield the examples; cells are separated by commas, or by semicolons where the header line has no comma.

    Raises
    ------
    DatasetError
        If no column holds images, or the one that was named is not there.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        reader = csv.DictReader(file, delimiter=";" if ";" in header and "," not in header else ",")
        columns = dict.fromkeys(reader.fieldnames or ())
        if image_column(columns, options) is None or (
            options.label_column and label_column(columns, options) is None
        ):
            asked = (
                options.label_column if image_column(columns, options) else options.image_column or "image"
            )
            raise DatasetError(
                f"{path} has no column {asked!r}: its columns are {', '.join(map(repr, columns)) or 'none'}. "
                "Say which holds what: --image-column, --label-column"
            )
        for row in reader:
            where = f"{path.name}, line {reader.line_num}"
            if None in row or None in row.values():
                yield Problem(where, f"has {'more' if None in row else 'fewer'} cells than the header")
                continue
            values = {column: value_of(value) for column, value in row.items()}
            yield example_of_row(values, where, path.parent, options)


def write(examples: Iterable[Example], out: Path, options: WriteOptions) -> list[Problem]:
    """Write a file; images stay where they are."""
    rows = [{name: cell(value) for name, value in example.as_row().items()} for example in examples]
    columns = dict.fromkeys(name for row in rows for name in row) or {"image": None, "label": None}
    with out.open("w", encoding="utf-8", newline="") as file:
        few, all_ = (
            csv.DictWriter(file, columns, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        few.writeheader()
        for row in rows:
            # left to itself, the csv module does not quote a lone carriage return, and readers end the row there
            (all_ if any("\r" in str(value) for value in row.values()) else few).writerow(row)
    return []
