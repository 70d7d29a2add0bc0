"""The port between whoever notices that a project may have changed and whatever runs the refresh."""

from __future__ import annotations

from typing import Protocol


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

    def request(self, project_id: int, reason: str) -> None:
        """Ask for a refresh of a project; repeating it is harmless. Returns in milliseconds."""
        ...

    def waiting(self) -> int:
        """Return how many projects wait for a refresh."""
        ...

    def start(self) -> None:
        """Start what runs the requests."""
        ...

    def stop(self) -> None:
        """Stop it; open requests stay for the next start."""
        ...
