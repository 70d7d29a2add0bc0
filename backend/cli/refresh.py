"""`lineup refresh`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from backend.cli.common import Failure, ProjectOption, clear_errors, console, load_settings, require_known
from backend.cli.workers import no_worker, start_worker, warn_without_worker
from backend.jobs.open import living_workers, open_hints
from backend.project import project_status
from backend.settings import Settings
from backend.status import Status
from backend.tables import status_table


def refresh(
    project: ProjectOption,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it has ended and show what it did.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read every task anew, and images that were not measured yet.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, help="With --wait: give up after this many seconds.")
    ] = 3600.0,
) -> None:
    """Ask the worker to look at a project now.

    Example: `lineup refresh --project 7 --wait`
    """
    with clear_errors():
        settings = load_settings()
        require_known(settings, project)
        hints = open_hints(settings)
        hints.add(project, "full" if full else "cli")
        if not wait:
            warn_without_worker(settings)
            console.print(f"Asked for a refresh of project {project}.")
            return
        if not living_workers(settings):
            raise Failure(f"{no_worker(settings)}; start one: {start_worker(settings)}")
        status = _follow(settings, project, hints.take(project), time.monotonic() + timeout)
        console.print(status_table(settings, [project]))
        if status.last_error:
            raise Failure(f"the refresh failed: {status.last_error.message}")


def _follow(settings: Settings, project_id: int, upto: int, deadline: float) -> Status:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("waiting", total=None)
        while time.monotonic() < deadline:
            status = project_status(settings, project_id)
            if status.state == "idle" and status.last_refresh and status.last_refresh.upto >= upto:
                return status
            if status.state == "failed" and status.last_error and status.last_error.upto >= upto:
                return status
            if status.state == "running":
                bar.update(
                    task,
                    description=status.step or "starting",
                    completed=status.done,
                    total=status.total or None,
                )
            if not living_workers(settings):
                raise Failure("the worker is gone; see its log. The request stays for the next one")
            time.sleep(0.2)
    raise Failure(f"project {project_id} is still not refreshed; it goes on, see: lineup status")
