"""The server's side: errands wait their turn for the one child process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace

from backend.errands.book import STOPPED, Errand, ErrandBook
from backend.jobs.embedded import to_environment
from backend.settings import Settings

log = logging.getLogger(__name__)

# more would only make the last one wait for hours
MOST = 50
_GRACE = 5.0
# seconds between looks for a new errand, and after a failure
LOOK_EVERY, REST = 0.5, 10.0


class TooMany(RuntimeError):
    """So many errands wait that no more are taken."""


class ErrandRunner:
    """Runs errands one after the other, each in a process of its own, so that the server stays light.

    Of several servers with one ``MODEL_DIR`` on a machine, one runs them all.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self.book = ErrandBook(settings.model_dir)
        self._settings = settings
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._asking = threading.Lock()
        self._starting = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin with what waited when the last server ended."""
        self._thread = threading.Thread(target=self._work, name="errands", daemon=True)
        self._thread.start()

    def ask(self, kind: str, ask: dict[str, object]) -> Errand:
        """Take an errand.

        Raises
        ------
        TooMany
            If fifty wait already.
        """
        with self._asking:
            if len(self.book.waiting()) >= MOST:
                raise TooMany(f"{MOST} errands wait already; ask again later")
            return self.book.add(kind, ask)

    def stop(self) -> None:
        """End the running one; those that wait stay for the next start."""
        with self._starting:
            self._ending.set()
            if self._child is not None:
                self._child.terminate()
        if self._thread is not None:
            self._thread.join(_GRACE)

    def _work(self) -> None:
        with self.book.held() as mine:
            while not self._ending.wait(0 if mine() else LOOK_EVERY):
                if not mine():
                    continue
                try:
                    waiting = self.book.waiting()
                    if waiting:
                        self._run(waiting[0])
                    else:
                        self._ending.wait(LOOK_EVERY)
                except Exception:  # a full disk, say: the others must not wait for ever
                    log.exception("errands: trying again in %.0f s", REST)
                    self._ending.wait(REST)

    def _run(self, errand: Errand) -> None:
        with self._starting:
            if self._ending.is_set():
                return
            self._child = subprocess.Popen(
                [sys.executable, "-m", "backend.errands.run", errand.id],
                env=os.environ | to_environment(self._settings),
                stdin=subprocess.DEVNULL,
            )
        code = self._child.wait()
        after = self.book.read(errand.id)
        if after.state in ("waiting", "running"):
            why = STOPPED if self._ending.is_set() else f"its process ended with {code}"
            log.error("errand %s: %s", errand.id, why)
            self.book.write(replace(after, state="failed", error=why))
