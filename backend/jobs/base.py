"""The port between whoever notices that a project may have changed and whatever runs the refresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class QueueUnavailable(RuntimeError):
    """Requests cannot be taken now; nothing is lost, the next look at the project finds what changed."""


class Stopped(Exception):
    """The worker was asked to end in the middle of a refresh; its hints stay open."""


class LeaseLost(Exception):
    """Another worker may have the project by now; its hints stay open."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The open hints of one project.

    Attributes
    ----------
    first, last : float
        Seconds since the epoch of the oldest and the newest hint.
    count : int
        How many hints are open.
    reasons : frozenset of str
        Why: event names, ``poll``, ``start``, ``setup``, ``cli``, ``rollback``, ``predict``.
    upto : int
        Id of the newest hint; pass it to `Hints.done` once a refresh that began after it has ended.
    """

    first: float
    last: float
    count: int
    reasons: frozenset[str]
    upto: int


class Hints(Protocol):
    """Open hints that projects may have changed: in a file, or in Redis."""

    @property
    def problem(self) -> str | None:
        """Why hints cannot be taken now; None if they can."""
        ...

    def add(self, project_id: int, reason: str) -> None:
        """Note that a project may have changed.

        Raises
        ------
        QueueUnavailable
            If the hint could not be kept.
        """
        ...

    def pending(self) -> dict[int, Pending]:
        """Return the open hints by project id."""
        ...

    def take(self, project_id: int) -> int:
        """Return the id up to which a refresh that starts now sees a project's hints; 0 without hints."""
        ...

    def done(self, project_id: int, upto: int) -> None:
        """Forget the hints a finished refresh has seen; later ones stay."""
        ...

    def newest(self) -> int:
        """Return the id of the newest hint ever given, open or not; it grows with every `add`."""
        ...

    def close(self) -> None:
        """Close the file or the connection."""
        ...


class RefreshQueue(Protocol):
    """Takes requests for refreshes; how and where they run is the implementation's business."""

    @property
    def alive(self) -> bool:
        """Whether something runs the requests."""
        ...

    @property
    def restarts(self) -> int:
        """How often what runs them ended by itself and was started again."""
        ...

    @property
    def problem(self) -> str | None:
        """Why requests cannot be taken now; None if they can."""
        ...

    def request(self, project_id: int, reason: str) -> None:
        """Ask for a refresh of a project; repeating it is harmless. Returns in milliseconds.

        Raises
        ------
        QueueUnavailable
            If the request could not be kept.
        """
        ...

    def waiting(self) -> int:
        """Return how many projects wait for a refresh.

        Raises
        ------
        QueueUnavailable
            If nobody can tell now.
        """
        ...

    def start(self) -> None:
        """Start what runs the requests."""
        ...

    def stop(self) -> None:
        """Stop it; open requests stay for the next start."""
        ...
