"""The findings as a table: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ml.audit.findings import Findings
from ml.datasets.cells import cell
from ml.datasets.example import DatasetError, Example

_DIGITS = 6
WITH_PYARROW = "pip install pyarrow"
# what an audit adds to the columns of the source
SAID = ("status", "given", "suggestion", "suspicion", "confidence", "reason")


def rows_of(found: Findings) -> Iterator[dict[str, Any]]:
    """Yield a row an image: what was found of its label, of the image, and all statistics.

    ``correction`` is the probability that the label is wrong and the suggestion right; ``duplicates``: the number of
    the group of near-duplicates, None where an image has none.
    """
    _, inverse, counts = np.unique(found.survey.groups, return_inverse=True, return_counts=True)
    several = counts[inverse] > 1
    for row, example in enumerate(found.examples):
        yield {
            "image": example.image,
            **_said(found, row),
            "correction": _number(found.right[row]),
            "anomalies": ", ".join(found.anomalies[row]),
            "image_fault": found.fault[row],
            "duplicates": int(found.survey.groups[row]) if several[row] else None,
            **{name: _number(values[row]) for name, values in found.statistics.items()},
        }


def write_csv(found: Findings, path: Path) -> None:
    """Write the table; no cell is one that a spreadsheet runs (`ml.datasets.cells`)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for row in rows_of(found):
            if writer is None:
                writer = csv.DictWriter(file, row, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
                writer.writeheader()
            writer.writerow({name: cell(value) for name, value in row.items()})


def can_write_parquet() -> bool:
    """Tell whether pyarrow is installed."""
    return find_spec("pyarrow") is not None


def require_parquet() -> None:
    """See that Parquet can be written.

    Raises
    ------
    DatasetError
        If pyarrow is not installed; with the command that installs it.
    """
    if not can_write_parquet():
        raise DatasetError(f"Parquet needs pyarrow, which is not installed: {WITH_PYARROW}")


def write_parquet(found: Findings, path: Path) -> None:
    """Write the table with types; anomalies are a list."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {}
    for row in rows_of(found):
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    columns["anomalies"] = list(found.anomalies)
    parquet.write_table(pa.table(columns), path)


def corrected_examples(found: Findings) -> Iterator[Example]:
    """Yield the examples with their label after the audit, and what was done and why.

    The source's other columns stay; one that has the name of what is added becomes ``source_NAME``.
    """
    for row, example in enumerate(found.examples):
        more: dict[str, Any] = {}
        for name, value in example.more.items():
            kept = name
            while kept in SAID or (kept != name and kept in example.more):
                kept = f"source_{kept}"
            more[kept] = value
        label = found.corrected_label(row)
        yield Example(example.image, label, example.path, example.where, more | _said(found, row))


def _said(found: Findings, row: int) -> dict[str, Any]:
    values = (
        found.status[row],
        found.name(int(found.labels[row])),
        found.name(int(found.suggestion[row])),
        _number(found.suspicion[row]),
        _number(found.confidence[row]),
        found.reason[row],
    )
    return dict(zip(SAID, values, strict=True))


def _number(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
