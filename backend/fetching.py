"""Fetch images ahead of whoever decodes them, but only so far."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

T = TypeVar("T")

THREADS = 4
AHEAD = 256  # images
FEW = 64  # images left that no fetch has begun, when the next lot is asked for
AHEAD_BYTES = 64_000_000


def fetch_ahead(
    lots: Iterable[Sequence[T]], fetch: Callable[[T], bytes | None]
) -> Generator[tuple[T, bytes | None], None, None]:
    """Yield each item with what ``fetch`` returns for it, in order, while threads fetch the next.

    At most 256 files wait to be taken, and no fetch begins while 64 MB do.

    Parameters
    ----------
    lots : iterable of sequences
        The items; the next lot is asked for, by the caller's thread, shortly before the last one's end.
    fetch : callable
        Called in a thread. None: there is no file, and why has been noted. An exception ends it all.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
        ahead = _Ahead(pool, lots, fetch)
        try:
            yield from ahead.results()
        finally:
            ahead.stop()


class _Ahead(Generic[T]):
    """Fetches that are running or wait to be taken; each one that ends begins the next."""

    def __init__(
        self, pool: ThreadPoolExecutor, lots: Iterable[Sequence[T]], fetch: Callable[[T], bytes | None]
    ) -> None:
        self._pool, self._fetch = pool, fetch
        self._lots = iter(lots)
        self._left: deque[T] = deque()
        self._waiting: deque[tuple[T, Future[bytes | None]]] = deque()
        self._running = self._held = 0
        self._lock = threading.Lock()

    def results(self) -> Iterator[tuple[T, bytes | None]]:
        self._refill()
        self._begin()
        while self._waiting:
            item, future = self._waiting.popleft()
            data = future.result()
            with self._lock:
                self._held -= len(data or b"")
            self._refill()
            self._begin()
            yield item, data

    def _refill(self) -> None:
        while len(self._left) < FEW and (lot := next(self._lots, None)) is not None:
            with self._lock:
                self._left.extend(lot)

    def stop(self) -> None:
        with self._lock:
            self._left.clear()

    def _begin(self) -> None:
        with self._lock:
            while (
                self._left
                and self._running < THREADS
                and len(self._waiting) < AHEAD
                and self._held < AHEAD_BYTES
            ):
                item = self._left.popleft()
                self._running += 1
                # logs and counts of a fetch belong to the refresh it is for
                self._waiting.append((item, self._pool.submit(copy_context().run, self._run, item)))

    def _run(self, item: T) -> bytes | None:
        data = None
        try:
            data = self._fetch(item)
        finally:
            with self._lock:
                self._running -= 1
                self._held += len(data or b"")
        self._begin()
        return data
