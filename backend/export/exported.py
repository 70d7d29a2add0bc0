"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    out : Path
    rows : int
        Labelled tasks written.
    statuses : dict of str to int
        Rows by status, as written.
    dropped, applied : int
        Suspects left out, and suspects whose label became the suggestion.
    left_out : list of str
        A line for each image that could not be fetched (format ``folders``), or mask that could not be written.
    lost : str
        Of masks: what the format cost.
    table : Path or None
        Of masks: where the rows are.
    """

    out: Path
    rows: int
    statuses: dict[str, int]
    dropped: int = 0
    applied: int = 0
    left_out: list[str] = field(default_factory=list)
    lost: str = ""
    table: Path | None = None
