"""When a hint becomes a refresh: after a quiet moment, or at the latest after a while."""

from __future__ import annotations

from collections.abc import Mapping

from backend.jobs.base import Pending


def due_at(first: float, last: float, quiet: float, max_wait: float) -> float:
    """Return when the refresh of a project with these hints should start, in seconds since the epoch."""
    return min(last + quiet, first + max_wait)


def due(pending: Mapping[int, Pending], now: float, quiet: float, max_wait: float) -> list[int]:
    """Return the projects whose refresh should start, the longest waiting first.

    Parameters
    ----------
    pending : mapping of project id to Pending
    now : float
        Seconds since the epoch.
    quiet : float
        Seconds without a further hint after which a refresh starts.
    max_wait : float
        Seconds since the first hint after which it starts even if hints go on.

    Notes
    -----
    A hint from the future (the clock was set back) is due at once rather than never.
    """

    def ready(hint: Pending) -> bool:
        return now >= due_at(hint.first, hint.last, quiet, max_wait) or hint.last > now + 1

    found = [project for project, hint in pending.items() if ready(hint)]
    return sorted(found, key=lambda project: pending[project].first)
