"""`lineup status`."""

from __future__ import annotations

from backend.cli.common import OneProject, clear_errors, console, errors, load_settings, require_known
from backend.cli.workers import describe_workers
from backend.project import Project
from backend.shared.folder import share
from backend.storage import find_problem
from backend.tables import status_table


def status(project: OneProject = None) -> None:
    """Show version, labels, accuracy, suspects, step times, what is running and the last error.

    Example: `lineup status --project 7`
    """
    with clear_errors():
        settings = load_settings()
        if project is not None:
            require_known(settings, project)
        projects = Project.known(settings) if project is None else [project]
        console.print(describe_workers(settings), highlight=False)
        if problem := find_problem(settings.model_dir):
            console.print(
                f"[bold red]{problem}[/]: {settings.model_dir.resolve()}", highlight=False, soft_wrap=True
            )
        shared = share(settings)
        if shared and shared.bucket.problem:
            errors.print(f"[bold red]{shared.bucket.problem}[/]", highlight=False, soft_wrap=True)
        if not projects:
            console.print("No project is connected yet. Connect one: lineup connect --project ID")
            return
        console.print(status_table(settings, projects))
