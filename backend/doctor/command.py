"""`lineup doctor`: show what the checks found, as they find it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from backend.doctor.run import Finding

console = Console()

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "skipped": "dim"}
_WIDTH = len("private addresses")


def doctor(
    project: Annotated[
        int | None,
        typer.Option("--project", "-p", min=1, help="Id of the project; all connected ones without it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Check everything Lineup needs, from the settings to a task's prediction, and say how to mend what is not well.

    Changes nothing. Run it where `lineup serve` runs, while it runs. Exit code 0: nothing failed; 1: something did.

    Example: `lineup doctor --project 7`
    """
    with _quiet(), console.status("looking") if not as_json else _nothing():
        from backend.doctor.run import examine

        findings = []
        for finding in examine(project):
            findings.append(finding)
            if not as_json:
                _show(finding)
    failed = sum(finding.outcome.level == "failure" for finding in findings)
    if as_json:
        checks = [_plain(finding) for finding in findings]
        typer.echo(json.dumps({"ok": not failed, "checks": checks}, indent=2))
    else:
        warned = sum(finding.outcome.level == "warning" for finding in findings)
        console.print(
            f"\n{failed} failed, {warned} to look at, {len(findings) - failed - warned} fine or skipped"
        )
    raise typer.Exit(1 if failed else 0)


def _show(finding: Finding) -> None:
    outcome = finding.outcome
    style = _STYLES[outcome.level]
    where = f" [project {finding.project}]" if finding.project is not None else ""
    head = Text.assemble(
        (f"{outcome.level:8}", style), (f"{finding.check:{_WIDTH}}  ", "bold"), outcome.line, (where, "dim")
    )
    console.print(head, soft_wrap=True)
    if outcome.fix:
        console.print(Padding(Text(f"→ {outcome.fix}"), (0, 0, 0, 8)), soft_wrap=True)


def _plain(finding: Finding) -> dict[str, object]:
    outcome = finding.outcome
    return {
        "check": finding.check,
        "project": finding.project,
        "status": outcome.level,
        "line": outcome.line,
        "fix": outcome.fix,
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings out of the table: what is behind them stands in it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
