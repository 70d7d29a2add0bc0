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


def columns_of(found: Findings) -> dict[str, list[Any]]:
    """Return the table by columns: what was found of each label and image, and all statistics.

    ``correction`` is the probability that the label is wrong and the suggestion right; ``duplicates``: the number of
    the group of near-duplicates, None where an image has none. Numbers have six digits.
    """
    _, inverse, counts = np.unique(found.survey.groups, return_inverse=True, return_counts=True)
    groups = np.where(counts[inverse] > 1, found.survey.groups, -1)
    return {
        "image": [example.image for example in found.examples],
        **_said(found),
        "correction": _numbers(found.right),
        "anomalies": found.anomalies,
        "image_fault": found.fault,
        "duplicates": [None if group < 0 else group for group in groups.tolist()],
        **{name: _numbers(values) for name, values in found.statistics.items()},
    }


def write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    """Write the table; no cell is one that a spreadsheet runs (`ml.datasets.cells`)."""
    columns = {
        name: [", ".join(one) if isinstance(one, list) else one for one in values]
        for name, values in columns.items()
    }
    # numbers are no formulas, and are most of the cells
    safe = [
        list(map(cell, values)) if any(isinstance(one, str) for one in values) else values
        for values in columns.values()
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*safe, strict=True))


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


def write_parquet(columns: dict[str, list[Any]], path: Path) -> None:
    """Write the table with types; anomalies are a list."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)


def corrected_examples(found: Findings) -> Iterator[Example]:
    """Yield the examples with their label after the audit, and what was done and why.

    The source's other columns stay; one that has the name of what is added becomes ``source_NAME``.
    """
    said = _said(found)
    for row, example in enumerate(found.examples):
        more: dict[str, Any] = {}
        for name, value in example.more.items():
            kept = name
            while kept in SAID or (kept != name and kept in example.more):
                kept = f"source_{kept}"
            more[kept] = value
        more |= {name: values[row] for name, values in said.items()}
        yield Example(example.image, found.corrected_label(row), example.path, example.where, more)


def _said(found: Findings) -> dict[str, list[Any]]:
    values = (
        found.status,
        [found.name(label) for label in found.labels.tolist()],
        [found.name(label) for label in found.suggestion.tolist()],
        _numbers(found.suspicion),
        _numbers(found.confidence),
        found.reason,
    )
    return dict(zip(SAID, values, strict=True))


def _numbers(values: np.ndarray) -> list[float | None]:
    """Return numbers with six digits, None for NaN."""
    known = np.isfinite(values)
    plain = np.where(known, values, 0.0).astype(np.float64)
    size = np.floor(np.log10(np.maximum(np.abs(plain), 1e-12)))
    scale = 10.0 ** (_DIGITS - 1 - size)
    rounded = np.round(plain * scale) / scale
    return [number if there else None for number, there in zip(rounded.tolist(), known.tolist(), strict=True)]
