"""Comma-separated values with a header line; a value that is missing is empty."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from backend.export.rows import COLUMNS, ExportRow


def write(rows: Sequence[ExportRow], out: Path, fetch: Callable[[ExportRow], bytes]) -> list[str]:
    """Write ``out``; images stay where they are."""
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.as_dict() for row in rows)
    return []
