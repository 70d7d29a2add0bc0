"""End this process when the one that started it is gone, however that ended."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

WATCH_EVERY = 0.5
GRACE = 5.0


def die_with(parent: int, stop: Callable[[], object]) -> None:
    """Call ``stop`` once ``parent`` is no longer this process's parent, and exit a grace period later.

    A thread compares the parent's process id: unlike the kernel's parent-death signal this does not depend on
    which thread of the parent started the child.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_EVERY)
        stop()
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def exit_after_grace(code: int) -> None:
    """Exit in a grace period even if the main thread is then still busy; everything on disk survives that."""

    def wait() -> None:
        time.sleep(GRACE)
        os._exit(code)

    threading.Thread(target=wait, name="grace", daemon=True).start()


def ignore_interrupt() -> None:
    """Leave Ctrl-C, which a terminal sends to every process of a group, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
