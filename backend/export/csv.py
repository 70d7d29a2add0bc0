"""Comma-separated values with a header line; a value that is missing is empty, several classes are ``cat, dog``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from backend.export.rows import COLUMNS, ExportRow
from backend.labelstudio.class_sets import join_classes


def write(rows: Sequence[ExportRow], out: Path, fetch: Callable[[ExportRow], bytes]) -> list[str]:
    """Write ``out``; images stay where they are."""
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.as_dict().items()} for row in rows)
    return []


def _cell(value: Any) -> Any:
    return join_classes(value) if isinstance(value, list) else value
