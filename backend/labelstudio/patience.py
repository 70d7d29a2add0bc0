"""Which addresses keep Lineup waiting: a thousand tasks that name one would hold a refresh up for hours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TRIES = 3
REST = 60.0
SLOW = 2.0


class Patience:
    """Counts how often in a row an address kept its caller waiting for nothing; safe under several threads.

    After three times the address is left alone for a minute. Quick failures do not count: they hold nobody up.

    Parameters
    ----------
    clock : callable
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}

    def failed(self, address: str, seconds: float) -> None:
        """Note that an address gave nothing after so many seconds."""
        if seconds >= SLOW:
            with self._lock:
                count, _ = self._failures.get(address, (0, 0.0))
                self._failures[address] = count + 1, self._clock() + REST

    def answered(self, address: str) -> None:
        """Note that an address delivered."""
        with self._lock:
            self._failures.pop(address, None)

    def tired_of(self, address: str) -> str | None:
        """Return why an address is not to be asked now, or None."""
        with self._lock:
            count, until = self._failures.get(address, (0, 0.0))
            if count < TRIES:
                return None
            if self._clock() >= until:
                # one more try: if it fails, the rest begins anew
                self._failures[address] = TRIES - 1, until
                return None
        return f"it kept Lineup waiting {count} times in a row and is left alone for {REST:g} s"
