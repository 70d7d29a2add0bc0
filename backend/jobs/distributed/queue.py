"""The server's side of the distributed mode: it only asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.jobs.base import QueueUnavailable
from backend.jobs.distributed.hints import RedisHints
from backend.jobs.distributed.lease import Lease, project_lease
from backend.jobs.distributed.link import link, told
from backend.jobs.distributed.workers import living, worker_name
from backend.settings import Settings


class RemoteQueue:
    """Hands requests to workers elsewhere, through Redis; a `RefreshQueue`."""

    restarts = 0

    def __init__(self, settings: Settings) -> None:
        self.hints = RedisHints(settings)

    @property
    def alive(self) -> bool:
        """Whether at least one worker lives; False where Redis cannot tell."""
        try:
            with told():
                return bool(living(self.hints.connection))
        except QueueUnavailable:  # `problem` says so
            return False

    @property
    def problem(self) -> str | None:
        """Why Redis cannot be used, None if it can."""
        return self.hints.problem

    def request(self, project_id: int, reason: str) -> None:
        """Ask for a refresh."""
        self.hints.add(project_id, reason)

    def waiting(self) -> int:
        """Return how many projects wait for a refresh."""
        return len(self.hints.pending())

    def start(self) -> None:
        """Start nothing: the workers are processes of their own, `lineup worker`."""

    def stop(self) -> None:
        """Close the connection."""
        self.hints.close()


@contextmanager
def project_leased(settings: Settings, project_id: int) -> Iterator[bool]:
    """Hold the lease on a project; yields False, at once, where somebody else does.

    Raises
    ------
    QueueUnavailable
        If Redis cannot tell.
    """
    with link(settings) as connection:
        lease = Lease(connection, project_lease(project_id), worker_name(), settings.lease_seconds)
        with told():
            held = lease.acquire()
        if not held:
            yield False
            return
        with lease.kept():
            yield True


def workers(settings: Settings) -> list[str]:
    """Return the names of the living workers.

    Raises
    ------
    QueueUnavailable
        If Redis cannot tell.
    """
    with told(), link(settings) as connection:
        return living(connection)
