"""Write what an audit of masks found: tables, pictures of suspects and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ml.audit.masks import sections
from ml.audit.masks.findings import MaskAudit
from ml.audit.masks.pictures import draw_suspects
from ml.audit.masks.table import columns_of, write_jsonl
from ml.audit.report import render
from ml.audit.sections import left_out
from ml.audit.table import write_csv
from ml.audit.write import ISSUES, REPORT, SUSPECTS
from ml.datasets.place import placed

ISSUES_JSONL = "issues.jsonl"


def write_mask_audit(
    audit: MaskAudit,
    folder: Path,
    *,
    title: str,
    pictures: int = 60,
    force: bool = False,
    step: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write everything, the folder whole or not at all; return the paths.

    Parameters
    ----------
    audit : MaskAudit
    folder : Path
    title : str
        What was audited, for the report.
    pictures : int
        Suspects that are drawn.
    force : bool
        Write over what an earlier audit wrote.
    step : callable
        Called with the name of what begins.

    Raises
    ------
    FileExistsError
        If something is there and may not be written over.
    """
    written = [REPORT, ISSUES, ISSUES_JSONL]
    with placed(folder, force=force) as draft:
        draft.mkdir()
        step("writing tables")
        columns = columns_of(audit)
        write_csv(columns, draft / ISSUES)
        write_jsonl(columns, draft / ISSUES_JSONL)
        if pictures and len(rows := audit.suspects[:pictures]):
            step("drawing suspects")
            draw_suspects(audit, rows.tolist(), draft / SUSPECTS)
            written.append(SUSPECTS)
        step("writing the report")
        write_report(audit, draft / REPORT, title=title)
    return [folder / name for name in written]


def write_report(audit: MaskAudit, path: Path, *, title: str) -> None:
    """Write one HTML file that needs nothing else: no script, no address, pictures inside."""
    render(
        "masks/report.html",
        path,
        title=title,
        audit=audit,
        numbers=list(sections.numbers(audit)),
        suspects=sections.suspects(audit),
        reasons=sections.reasons(audit),
        classes=sections.classes(audit),
        confusion=sections.confusion(audit),
        spread=sections.spread(audit),
        twins=sections.twins(audit),
        faults=sections.faults(audit),
        left_out=left_out(audit.problems),
    )
