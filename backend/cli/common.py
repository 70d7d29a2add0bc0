"""What all commands share: settings, errors without tracebacks, the two consoles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from backend.jobs.base import QueueUnavailable
from backend.project import Project
from backend.registry import VersionNotFound
from backend.settings import Settings, get_settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT


def first_process() -> bool:
    """Tell whether this is the one of ``torchrun``'s processes that talks; without torchrun there is no other."""
    return os.environ.get("RANK", "0") == "0"


console = Console(quiet=not first_process())
errors = Console(stderr=True)

ProjectOption = Annotated[int, typer.Option("--project", "-p", min=1, help="Id of the Label Studio project.")]
OneProject = Annotated[int | None, typer.Option("--project", "-p", min=1, help="Only this project.")]


class Failure(Exception):
    """Something a person has to act on; shown without a traceback."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def load_settings() -> Settings:
    """Return the settings.

    Raises
    ------
    Failure
        If one is wrong; it is named.
    """
    try:
        settings = get_settings()
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, item['loc'])).upper() or 'settings'}: {item['msg']}"
            for item in error.errors()
        ]
        raise Failure("a setting is wrong:\n  " + "\n  ".join(lines), 2) from None
    share(settings)  # what an object store needs is told before anything starts
    return settings


def label_studio_settings() -> Settings:
    """Return the settings, those of Label Studio among them.

    Raises
    ------
    Failure
        If one is wrong or missing.
    """
    settings = load_settings()
    given = {"LABEL_STUDIO_URL": settings.label_studio_url, "LABEL_STUDIO_API_KEY": settings.api_key}
    missing = " and ".join(name for name, value in given.items() if not value)
    if missing:
        raise Failure(
            f"{missing} must be set. The key is a personal access token: in Label Studio click your picture, "
            "Account & Settings, Personal Access Token.",
            2,
        )
    return settings


@contextmanager
def clear_errors() -> Iterator[None]:
    """Tell what a person can act on in one line, and end with its exit code."""
    from backend.labelstudio.config import UnsupportedConfig
    from backend.labelstudio.errors import LabelStudioError

    code = 1
    try:
        yield
        return
    except Failure as error:
        message, code = str(error), error.code
    except (LabelStudioError, UnsupportedConfig, VersionNotFound, QueueUnavailable) as error:
        message = str(error)
    except (OSError, ValueError, LookupError) as error:
        message = str(error)
    errors.print(f"[bold red]lineup:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def require_known(settings: Settings, project_id: int) -> None:
    """See that Lineup knows a project.

    Raises
    ------
    Failure
        If it does not.
    """
    projects = Project.known(settings)
    if project_id in projects or (settings.project_dir(project_id) / SNAPSHOT).exists():
        return
    known = ", ".join(map(str, projects)) or "none"
    raise Failure(
        f"project {project_id} is not known in MODEL_DIR={settings.model_name} (known: {known}). "
        f"Connect it: lineup connect --project {project_id}"
    )
