"""What is said of workers: which live, and how to start one."""

from __future__ import annotations

from backend.cli.common import errors
from backend.jobs.base import QueueUnavailable
from backend.jobs.open import distributed, living_workers
from backend.settings import Settings


def warn_without_worker(settings: Settings) -> None:
    """Say how to start a worker where none lives."""
    if not living_workers(settings):
        errors.print(
            f"[yellow]{no_worker(settings)}.[/] Start it: [bold]{start_worker(settings)}[/]",
            soft_wrap=True,
        )


def no_worker(settings: Settings) -> str:
    """Return the words for there being none."""
    if distributed(settings):
        return "No worker takes jobs from REDIS_URL"
    return f"No worker runs on MODEL_DIR={settings.model_name}"


def start_worker(settings: Settings) -> str:
    """Return the command that starts one."""
    return "lineup worker" if distributed(settings) else "lineup serve"


def describe_workers(settings: Settings) -> str:
    """Return a line on the workers that live."""
    if not distributed(settings):
        return f"worker: {'running' if living_workers(settings) else 'not running'}"
    try:
        found = living_workers(settings)
    except QueueUnavailable as error:  # what stands in MODEL_DIR can be shown all the same
        return f"workers: unknown. {error}"
    return f"workers: {len(found)}" + (f" ({', '.join(found)})" if found else "; start one: lineup worker")
