"""End this process when the one that started it is gone, or when it was asked to end and does not."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

WATCH_EVERY = 0.5
GRACE = 5.0

_last_words: list[Callable[[], object]] = []


def die_with(parent: int, stop: Callable[[], object]) -> None:
    """Call ``stop`` once ``parent`` is no longer this process's parent, and exit a grace period later.

    A thread compares the parent's process id: unlike the kernel's parent-death signal this does not depend on
    which thread of the parent started the child.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_EVERY)
        stop()
        _exit_in_a_while(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def exit_after_grace(code: int) -> None:
    """Exit in a grace period even if the main thread is then still busy; everything on disk survives that."""
    threading.Thread(target=_exit_in_a_while, args=(code,), name="grace", daemon=True).start()


@contextmanager
def last_words(say: Callable[[], object]) -> Iterator[None]:
    """Call ``say``, in another thread, if this process exits by itself inside: it is no death to look into."""
    _last_words.append(say)
    try:
        yield
    finally:
        _last_words.remove(say)


def _exit_in_a_while(code: int) -> None:
    time.sleep(GRACE)
    try:
        for say in tuple(_last_words):
            say()
    except Exception as error:  # a full disk, say: nothing may keep the process
        log.error("ending all the same: %s", error)
    os._exit(code)


def ignore_interrupt() -> None:
    """Leave Ctrl-C, which a terminal sends to every process of a group, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
