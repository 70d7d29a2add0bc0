"""The embedded worker: a child process of the server, watched and started again."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from pydantic import SecretStr

from backend.jobs.base import Hints
from backend.settings import Settings

log = logging.getLogger(__name__)

CHECK_EVERY = 0.2
MAX_BACKOFF = 30.0
STEADY_AFTER = 60.0
STOP_WITHIN = 8.0

WORKER = (sys.executable, "-m", "backend.jobs.worker")


def to_environment(settings: Settings) -> dict[str, str]:
    """Return settings as the environment variables they are read from."""
    environment = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, tuple):
            value = ",".join(value)
        environment[name.upper()] = "" if value is None else str(value)
    return {**environment, "MODEL_DIR": settings.model_name}


def end_child(child: subprocess.Popen[bytes] | None, what: str) -> None:
    """End a child process: ask first, then insist."""
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        log.warning("%s (pid %d) does not end; killing it", what, child.pid)
        child.kill()
        child.wait()


class EmbeddedWorker:
    """Runs the refreshes in a child process; a `RefreshQueue`.

    Parameters
    ----------
    settings : Settings
        Handed to the child as environment variables.
    hints : Hints
        Where requests go, and the child finds them.
    command : sequence of str
        What to run; ``--parent PID`` is appended.
    """

    def __init__(self, settings: Settings, hints: Hints, command: Sequence[str] = WORKER) -> None:
        self.settings = settings
        self.command = tuple(command)
        self.hints = hints
        self.restarts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self._child.pid if self._child else None

    @property
    def problem(self) -> str | None:
        """Why requests cannot be taken now; None if they can."""
        return self.hints.problem

    def request(self, project_id: int, reason: str) -> None:
        """Ask for a refresh."""
        self.hints.add(project_id, reason)

    def waiting(self) -> int:
        """Return how many projects wait for a refresh."""
        return len(self.hints.pending())

    def start(self) -> None:
        """Start the child and the thread that watches it."""
        self._ending.clear()
        self._spawn()
        self._watcher = threading.Thread(target=self._watch, name="worker-watch", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the child."""
        self._ending.set()
        if self._watcher:
            self._watcher.join()
        child, self._child = self._child, None
        end_child(child, "the worker")

    def _spawn(self) -> None:
        environment = os.environ | to_environment(self.settings)
        self._child = subprocess.Popen([*self.command, "--parent", str(os.getpid())], env=environment)

    def _watch(self) -> None:
        failures, started = 0, time.monotonic()
        while not self._ending.wait(CHECK_EVERY):
            if self.alive:
                continue
            code = self._child.returncode if self._child else None
            if time.monotonic() - started > STEADY_AFTER:
                failures = 0
            wait = min(MAX_BACKOFF, 0.5 * 2**failures)
            log.error("the worker ended with code %s; starting it again in %.1f s", code, wait)
            if self._ending.wait(wait):
                return
            failures += 1
            self.restarts += 1
            started = time.monotonic()
            self._spawn()
