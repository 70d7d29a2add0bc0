"""Counts of what a refresh does, kept across processes in the project's status for whoever reads the metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

# counter name -> label value -> count, as in `backend.status.Status.counts`
Counts = dict[str, dict[str, float]]

REFRESHES, STEPS, IMAGES, WRITES, ERRORS = (
    "refreshes",
    "step_seconds",
    "images",
    "writes",
    "label_studio_errors",
)

_lock = threading.Lock()
_current: ContextVar[Counts | None] = ContextVar("tally", default=None)


@contextmanager
def tally() -> Iterator[Counts]:
    """Collect what `count` is told inside, also by threads that run in a copy of the context."""
    counts: Counts = {}
    token = _current.set(counts)
    try:
        yield counts
    finally:
        _current.reset(token)


def count(name: str, label: str, number: float = 1) -> None:
    """Count something in the tally that is being kept, if one is."""
    counts = _current.get()
    if counts is not None and number:
        with _lock:
            by_label = counts.setdefault(name, {})
            by_label[label] = by_label.get(label, 0) + number


def add(before: Mapping[str, Mapping[str, float]], more: Mapping[str, Mapping[str, float]]) -> Counts:
    """Return the sum of two tallies."""
    total: Counts = {name: dict(values) for name, values in before.items()}
    for name, values in more.items():
        by_label = total.setdefault(name, {})
        for label, number in values.items():
            by_label[label] = by_label.get(label, 0) + number
    return total
