"""The server's side: errands wait their turn for the one child process."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from dataclasses import replace

from backend.errands.book import Errand, ErrandBook
from backend.jobs.embedded import to_environment
from backend.settings import Settings

log = logging.getLogger(__name__)

# more would only make the last one wait for hours
MOST = 50
_GRACE = 5.0


class TooMany(RuntimeError):
    """So many errands wait that no more are taken."""


class ErrandRunner:
    """Runs errands one after the other, each in a process of its own, so that the server stays light.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.book = ErrandBook(settings.model_dir)
        self._settings = settings
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST)
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin with what waited when the server ended."""
        self.book.give_up()
        for errand in self.book.all():
            if errand.state == "waiting" and not self._waiting.full():
                self._waiting.put_nowait(errand.id)
        self._thread = threading.Thread(target=self._work, name="errands", daemon=True)
        self._thread.start()

    def ask(self, kind: str, ask: dict[str, object]) -> Errand:
        """Take an errand.

        Raises
        ------
        TooMany
            If fifty wait already.
        """
        if self._waiting.full():
            raise TooMany(f"{MOST} errands wait already; ask again later")
        errand = self.book.add(kind, ask)
        self._waiting.put_nowait(errand.id)
        return errand

    def stop(self) -> None:
        """End the running one; those that wait stay for the next start."""
        thread, self._thread = self._thread, None
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put(None)
        if self._child is not None:
            self._child.terminate()
        if thread is not None:
            thread.join(_GRACE)

    def _work(self) -> None:
        while (errand_id := self._waiting.get()) is not None and self._thread is not None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "backend.errands.run", errand_id],
                env=os.environ | to_environment(self._settings),
                stdin=subprocess.DEVNULL,
            )
            code = self._child.wait()
            errand = self.book.read(errand_id)
            if errand.state in ("waiting", "running") and self._thread is not None:
                log.error("errand %s: its process ended with code %d", errand_id, code)
                self.book.write(replace(errand, state="failed", error=f"its process ended with code {code}"))
