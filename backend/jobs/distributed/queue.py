"""The server's side of the distributed mode: it only asks."""

from __future__ import annotations

from backend.jobs.base import QueueUnavailable
from backend.jobs.distributed.hints import RedisHints
from backend.jobs.distributed.link import link, told
from backend.jobs.distributed.workers import living
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


def workers(settings: Settings) -> list[str]:
    """Return the names of the living workers.

    Raises
    ------
    QueueUnavailable
        If Redis cannot tell.
    """
    with told():
        return living(link(settings))
