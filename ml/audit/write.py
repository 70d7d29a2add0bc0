"""Write what an audit found: tables, corrected labels, pictures and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.audit.findings import Findings
from ml.audit.pictures import draw_suspects
from ml.audit.places import CORRECTED_LABELS, Places
from ml.audit.plane import require_plane
from ml.audit.report import write_report
from ml.audit.table import (
    can_write_parquet,
    columns_of,
    corrected_examples,
    require_parquet,
    write_csv,
    write_parquet,
)
from ml.datasets import write_dataset
from ml.datasets.place import placed

ISSUES, PARQUET, REPORT, SUSPECTS = "issues.csv", "issues.parquet", "report.html", "suspects"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is to be written.

    Attributes
    ----------
    parquet : bool or None
        None: where pyarrow is installed.
    pictures : int
        Suspects that are drawn.
    plane : str
        One of `ml.audit.plane.METHODS`.
    seed : int
        Of the map.
    """

    parquet: bool | None = None
    pictures: int = 60
    plane: str = "tsne"
    seed: int = 0

    def check(self) -> None:
        """See that what is asked for can be made, before any work is done.

        Raises
        ------
        DatasetError
            If a package is missing; with the command that installs it.
        """
        require_plane(self.plane)
        if self.parquet:
            require_parquet()


def write_audit(
    found: Findings,
    places: Places,
    *,
    title: str,
    embedder: str,
    outputs: Outputs | None = None,
    force: bool = False,
    step: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write everything, the folder whole or not at all; return the paths.

    Parameters
    ----------
    found : Findings
    places : Places
    title : str
        What was audited, for the report.
    embedder : str
        What the vectors come from, for the report.
    outputs : Outputs, optional
    force : bool
        Write over what an earlier audit wrote.
    step : callable
        Called with the name of what begins.

    Raises
    ------
    FileExistsError
        If something is there and may not be written over.
    DatasetError
        If a package is missing.
    """
    outputs = outputs or Outputs()
    outputs.check()
    written = [places.folder / REPORT, places.folder / ISSUES]
    with placed(places.folder, force=force) as draft:
        draft.mkdir()
        step("writing tables")
        columns = columns_of(found)
        write_csv(columns, draft / ISSUES)
        if can_write_parquet() if outputs.parquet is None else outputs.parquet:
            write_parquet(columns, draft / PARQUET)
            written.append(places.folder / PARQUET)
        if places.inside:
            # the draft lies beside the folder, so relative paths are the same
            write_dataset(corrected_examples(found), draft / CORRECTED_LABELS)
        if outputs.pictures and len(rows := found.suspects[: outputs.pictures]):
            step("drawing suspects")
            draw_suspects(found, rows.tolist(), draft / SUSPECTS)
            written.append(places.folder / SUSPECTS)
        step("writing the report")
        write_report(
            found, draft / REPORT, title=title, embedder=embedder, plane=outputs.plane, seed=outputs.seed
        )
    if not places.inside:
        write_dataset(corrected_examples(found), places.corrected, force=force)
    return [*written, places.corrected]
