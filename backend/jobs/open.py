"""The one place that knows the mode; without `REDIS_URL` server and worker do not import Redis' libraries."""

from __future__ import annotations

from backend.jobs.base import Hints, RefreshQueue
from backend.jobs.embedded import EmbeddedWorker
from backend.jobs.hints import HintStore
from backend.jobs.locks import worker_alive
from backend.settings import Settings


def distributed(settings: Settings) -> bool:
    """Tell whether workers get their work through Redis."""
    return bool(settings.redis_url.get_secret_value())


def open_hints(settings: Settings) -> Hints:
    """Return the place for hints."""
    if not distributed(settings):
        return HintStore(settings.model_dir)
    from backend.jobs.distributed.hints import RedisHints

    return RedisHints(settings)


def open_queue(settings: Settings, *, own_worker: bool | None = None) -> RefreshQueue:
    """Return the server's queue.

    Parameters
    ----------
    own_worker : bool or None
        Whether the server has a worker of its own, as a child process; None: only without Redis.
    """
    if own_worker or not distributed(settings):
        return EmbeddedWorker(settings, open_hints(settings))
    from backend.jobs.distributed.queue import RemoteQueue

    return RemoteQueue(settings)


def living_workers(settings: Settings) -> list[str]:
    """Return the names of the workers that live; the embedded one has none but ``worker``.

    Raises
    ------
    QueueUnavailable
        If Redis cannot tell.
    """
    if not distributed(settings):
        return ["worker"] if worker_alive(settings.model_dir) else []
    from backend.jobs.distributed.queue import workers

    return workers(settings)
