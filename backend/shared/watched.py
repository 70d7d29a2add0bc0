"""A value that others may change: asked for now and then, by one thread at a time, and kept where nobody answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from backend.shared.bucket import SharedFolderError

T = TypeVar("T")

# seconds a value is not asked for again after nobody answered
PATIENCE = 5.0


class Watched(Generic[T]):
    """A value and when it was last asked for.

    Parameters
    ----------
    ask : callable
        Returns it, or raises `SharedFolderError`.
    kept : callable
        Returns what to believe where the first question fails: what this machine last knew.
    seconds : float
        How old it may be.
    """

    def __init__(self, ask: Callable[[], T], kept: Callable[[], T], seconds: float) -> None:
        self._ask = ask
        self._kept = kept
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: tuple[T] | None = None
        self._until = 0.0

    def get(self) -> T:
        """Return it; while one thread asks, others get what was known before."""
        known = self._known
        if known is not None and time.monotonic() < self._until:
            return known[0]
        if not self._lock.acquire(blocking=known is None):
            assert known is not None
            return known[0]
        try:
            if self._known is None or time.monotonic() >= self._until:
                try:
                    self.note(self._ask())
                except SharedFolderError:  # the bucket remembers the problem, /health tells it
                    self._known = self._known or (self._kept(),)
                    self._until = time.monotonic() + PATIENCE
            return self._known[0]  # type: ignore[index]
        finally:
            self._lock.release()

    def ask(self) -> T:
        """Return it as it is now.

        Raises
        ------
        SharedFolderError
            If nobody answers.
        """
        value = self._ask()
        self.note(value)
        return value

    def note(self, value: T) -> None:
        """Know it without asking."""
        self._known, self._until = (value,), time.monotonic() + self._seconds
