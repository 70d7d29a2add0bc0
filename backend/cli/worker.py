"""`lineup worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.cli.common import Failure, clear_errors, label_studio_settings
from backend.jobs.open import distributed
from backend.logs import configure
from backend.settings import Settings


def worker(
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-q",
            help="With REDIS_URL: take only this sort of work (`refresh`, `embed`, `train`); repeatable. Default: "
            "all but `train`, which keeps a worker for long.",
        ),
    ] = None,
) -> None:
    """Run a worker alone, until Ctrl-C or SIGTERM: any number, on any machines.

    With REDIS_URL it takes jobs from there; all workers and servers share one MODEL_DIR, in an object store or a folder
    that all see. Without it, it is a worker beside a server of another kind (`backend.sdk`) on the same machine.

    Example: `REDIS_URL=redis://:password@redis:6379/0 lineup worker --queue refresh`
    """
    with clear_errors():
        settings = label_studio_settings()
        if queue:
            _check_queues(settings, queue)
        from backend.jobs.worker import work

        configure(settings, "worker")
        work(settings, None, queue or ())


def _check_queues(settings: Settings, queues: list[str]) -> None:
    if not distributed(settings):
        raise Failure("--queue needs REDIS_URL: without it one worker does all", 2)
    from backend.jobs.distributed.jobs import QUEUES

    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise Failure(f"no queue {', '.join(unknown)}; there is: {', '.join(QUEUES)}", 2)
