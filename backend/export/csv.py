"""Comma-separated values with a header line; a value that is missing is empty, several classes are ``cat, dog``.

A spreadsheet runs a cell that begins like a formula, and class names and URIs are other people's words. So a text that
begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets an apostrophe in front, and so does one that begins
with an apostrophe: whoever takes one apostrophe off the front of every cell that has one has the exact values back.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backend.export.rows import COLUMNS, ExportRow
from backend.labelstudio.class_sets import join_classes

# full-width forms count as the plain ones in spreadsheets of some languages
_RISKY = tuple("=+-@\t\r\n'＝＋－＠")


def write(rows: Sequence[ExportRow], out: Path, fetch: Callable[[ExportRow], bytes]) -> list[str]:
    """Write ``out``; images stay where they are."""
    with out.open("w", encoding="utf-8", newline="") as file:
        few, all_ = (
            csv.DictWriter(file, COLUMNS, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        few.writeheader()
        for row in rows:
            cells = {name: _cell(value) for name, value in row.as_dict().items()}
            # left to itself, the csv module does not quote a lone carriage return, and readers end the row there
            (all_ if any("\r" in str(cell) for cell in cells.values()) else few).writerow(cells)
    return []


def _cell(value: Any) -> Any:
    text = join_classes(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_RISKY) else text
