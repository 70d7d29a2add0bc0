"""The embedded mode's trainings: a child process of the worker, one at a time, so that refreshes go on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from backend.finetuning.due import ask_if_due
from backend.finetuning.record import read_training
from backend.jobs.embedded import end_child, to_environment
from backend.jobs.locks import training_lock
from backend.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
# seconds after a training that failed or died before the next one begins
REST = 30.0
COMMAND = (sys.executable, "-m", "backend.finetuning")


class ChildTrainings:
    """Starts the trainings that are asked for, with `FINETUNE=auto`.

    Parameters
    ----------
    settings : Settings
        Handed to the child as environment variables.
    known_projects : callable
        Returns the ids of the connected projects.
    command : sequence of str
        What to run; ``--project ID --parent PID`` is appended.
    """

    def __init__(
        self, settings: Settings, known_projects: Callable[[], list[int]], command: Sequence[str] = COMMAND
    ) -> None:
        self.settings = settings
        self.command = tuple(command)
        self._known_projects = known_projects
        self._child: subprocess.Popen[bytes] | None = None
        self._next = 0.0

    def consider(self, project_id: int, labels: int) -> None:
        """Ask for a training after a refresh that found so many labels, if it is time."""
        ask_if_due(self.settings, project_id, labels)

    def step(self) -> None:
        """Start a training that is asked for, or that a killed process has left, if none runs."""
        # first of all: what has just ended badly sets the time of the next look
        if self._running() or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_EVERY
        for project_id in self._known_projects():
            if read_training(self.settings, project_id).ready and self._free(project_id):
                self._spawn(project_id)
                return

    def stop(self) -> None:
        """End the child; its training is taken up by the next worker."""
        child, self._child = self._child, None
        end_child(child, "a training")

    def _running(self) -> bool:
        if self._child is None:
            return False
        code = self._child.poll()
        if code is None:
            return True
        self._child = None
        if code:
            log.error("a training ended with code %d", code)
            self._next = time.monotonic() + REST
        return False

    def _free(self, project_id: int) -> bool:
        """Tell whether nobody, such as `lineup train --project`, is at it."""
        with training_lock(self.settings.project_dir(project_id)) as held:
            return held

    def _spawn(self, project_id: int) -> None:
        environment = os.environ | to_environment(self.settings)
        arguments = ["--project", str(project_id), "--parent", str(os.getpid())]
        self._child = subprocess.Popen([*self.command, *arguments], env=environment)
        log.info("project %d: a training begins (process %d)", project_id, self._child.pid)
