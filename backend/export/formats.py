"""The registry of export formats. A new format is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from backend.export import csv, folders, json, jsonl
from backend.export.rows import ExportRow

Fetch = Callable[[ExportRow], bytes]
# writes rows to a new file or folder and returns what it had to leave out, one line each
Writer = Callable[[Sequence[ExportRow], Path, Fetch], list[str]]

FORMATS: dict[str, Writer] = {
    "jsonl": jsonl.write,
    "csv": csv.write,
    "json": json.write,
    "folders": folders.write,
}
