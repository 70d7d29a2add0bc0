"""Does anybody do the work, and did the last of it end well?"""

from __future__ import annotations

import time

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from backend.jobs.open import distributed, living_workers
from backend.project import project_status
from backend.settings import Settings


def check_worker(context: Context) -> Outcome:
    """See whether a worker lives: the server's own, or one that takes its work from Redis."""
    settings = context.settings
    found = living_workers(settings)
    if distributed(settings):
        line = f"{len(found)} on REDIS_URL: {', '.join(found)}"
        if found and settings.finetune == "auto" and not _trains(settings):
            return warning(
                f"{line}; none takes trainings, which FINETUNE=auto asks for",
                "Start one more: lineup worker --queue train",
            )
        if found:
            return ok(line)
        return failure("no worker takes work from REDIS_URL", "Start one: lineup worker")
    if found:
        return ok(f"running on MODEL_DIR={settings.model_name}")
    return failure(f"no worker runs on MODEL_DIR={settings.model_name}", "Start it: lineup serve")


def _trains(settings: Settings) -> bool:
    from backend.jobs.distributed.link import link
    from backend.jobs.distributed.trainings import training_workers

    with link(settings) as connection:
        return training_workers(connection) > 0


def check_refresh(context: Context) -> Outcome:
    """See how the project's last refresh ended."""
    status = project_status(context.settings, context.project_id)
    if status.last_error is not None:
        return failure(
            f"the last one failed: {' '.join(status.last_error.message.split())}",
            f"When that is dealt with: lineup refresh --project {context.project_id} --wait",
        )
    if status.last_refresh is None:
        return skipped("there was none yet", f"lineup connect --project {context.project_id}")
    minutes = (time.time() - status.last_refresh.finished_at) / 60
    last = status.last_refresh
    return ok(f"{last.labels} labels of {last.tasks} tasks, version {last.version}, {minutes:.0f} min ago")
