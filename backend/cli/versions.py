"""`lineup versions` and `lineup rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.common import Failure, ProjectOption, clear_errors, console, load_settings, require_known
from backend.cli.workers import warn_without_worker
from backend.jobs.open import open_hints, project_claim
from backend.project import open_backbones, open_registry, pin, project_turn
from backend.registry import UNTRAINED
from backend.tables import versions_table


def versions(project: ProjectOption) -> None:
    """List the stored versions of a project's model, the served one marked.

    Example: `lineup versions --project 7`
    """
    with clear_errors():
        settings = load_settings()
        require_known(settings, project)
        console.print(versions_table(open_registry(settings, project)))


def rollback(
    project: ProjectOption,
    version: Annotated[
        str | None,
        typer.Argument(help="Id from `lineup versions`; without it, the one before the served one."),
    ] = None,
) -> None:
    """Serve an older version again, with the backbone it was learned on; new labels lead to a new version as ever.

    Example: `lineup rollback --project 7 choices-3-0a1b2c3d`
    """
    with clear_errors():
        settings = load_settings()
        require_known(settings, project)
        registry = open_registry(settings, project)
        served, stored = registry.published() or UNTRAINED, registry.ids()
        if version is None:
            before = stored[: stored.index(served)] if served in stored else []
            if not before:
                raise Failure(f"no version before {served}; see: lineup versions --project {project}")
            version = before[-1]
        with project_claim(settings, project) as held:
            if not held:
                raise Failure(f"project {project} is being refreshed; try again in a moment")
            with project_turn(settings, project):
                # what is new is embedded with the same: first, as a version without its backbone is of no use
                open_backbones(settings, project).publish(registry.manifest(version).get("backbone"))
                registry.publish(version)
                pin(settings, project)
        open_hints(settings).add(project, "rollback")
        console.print(f"Project {project} serves [bold]{version}[/] (before: {served}).", highlight=False)
        warn_without_worker(settings)
