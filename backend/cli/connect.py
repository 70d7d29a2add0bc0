"""`lineup connect`."""

from __future__ import annotations

from backend.cli.common import ProjectOption, clear_errors, console, label_studio_settings
from backend.cli.workers import warn_without_worker


def connect(project: ProjectOption) -> None:
    """Connect a project: register the backend, send events with credentials, order the queue.

    Needs a running `lineup serve` that Label Studio reaches at LINEUP_URL. Doing it again is harmless.

    Example: `lineup connect --project 7`
    """
    with clear_errors():
        settings = label_studio_settings()
        from backend.connect import connect as connect_project

        with console.status("connecting"):
            done = connect_project(settings, project)
        console.print(f"Project {done.project_id} [bold]{done.title}[/] is connected ({done.kind}).")
        console.print(f"backend {done.backend_url}, webhook {done.webhook_url}", highlight=False)
        warn_without_worker(settings)
        console.print(f"Watch the first refresh: [bold]lineup refresh --project {project} --wait[/]")
