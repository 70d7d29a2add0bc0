"""The worker: turns hints into refreshes, finds changes no hint told of, and works on when nobody waits."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from backend.jobs.base import Hints, QueueUnavailable, Stopped
from backend.jobs.debounce import due
from backend.jobs.lifeline import die_with, exit_after_grace, ignore_interrupt
from backend.jobs.locks import announce_worker, project_lock
from backend.jobs.open import distributed, open_hints
from backend.jobs.running import Refreshes, RefreshRun, idle_counts
from backend.jobs.trainings import ChildTrainings
from backend.logs import configure
from backend.settings import Settings, get_settings
from backend.shared.folder import share
from backend.shared.refreshes import SharedRefreshes
from backend.storage import explain

if TYPE_CHECKING:
    from backend.jobs.distributed.worker import Parts

log = logging.getLogger(__name__)

TICK = 0.2
IDLE_EVERY = 1.0
MAX_BACKOFF = 60.0
# seconds between two tries where MODEL_DIR cannot be used
STORAGE_WAIT = 2.0
NICENESS = 5


class Endless(Protocol):
    """A worker of either mode."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


class Worker:
    """The embedded mode's worker: one loop over the hints of all projects.

    Parameters
    ----------
    settings : Settings
    hints : Hints
    refresher : Refreshes
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        hints: Hints,
        refresher: Refreshes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.hints = hints
        self.refresher = refresher
        self.clock = clock
        self._run = RefreshRun(settings, hints, refresher, clock)
        self.trainings = ChildTrainings(settings, refresher.known_projects)
        self._stop = threading.Event()
        self._failures: dict[int, int] = {}
        self._not_before: dict[int, float] = {}
        self._failed_upto: dict[int, int] = {}
        self._looked_at: dict[int, float] = {}
        self._idle_left: set[int] = set()
        self._idle_next = 0.0

    def stop(self) -> None:
        """Ask the loop to end; a running refresh ends at its next progress report."""
        self._stop.set()

    def run(self) -> None:
        """Loop until `stop`."""
        with ExitStack() as announced:
            announced.callback(self.trainings.stop)
            greeted = False
            while not self._stop.is_set():
                try:
                    if not greeted:
                        announced.enter_context(announce_worker(self.settings.model_dir))
                        for project_id in self.refresher.known_projects():
                            self.hints.add(project_id, "start")
                        greeted = True
                    if self.settings.finetune == "auto":
                        self.trainings.step()
                    if not self.step():
                        self._stop.wait(TICK)
                except (OSError, sqlite3.Error, QueueUnavailable) as error:
                    log.error("%s; trying again in %.0f s", explain(error), STORAGE_WAIT)
                    self._stop.wait(STORAGE_WAIT)

    def step(self) -> bool:
        """Run the refreshes that are due, else a piece of idle work; return whether anything ran."""
        now = self.clock()
        self._look_around(now)
        seen = self.hints.newest()
        pending = self.hints.pending()
        ran = False
        for project_id in due(pending, now, self.settings.debounce_quiet, self.settings.debounce_max):
            if self._stop.is_set():
                break
            if self._may_run(project_id, pending[project_id].upto, now):
                ran |= self._refresh(project_id)
        # idle work is long and only a newer hint ends it: it does not begin while one waits out its debounce
        waiting = any(self._may_run(project_id, hints.upto, now) for project_id, hints in pending.items())
        if not ran and not waiting and now >= self._idle_next:
            self._idle_next = now + IDLE_EVERY
            ran = self._idle(now, seen)
        return ran

    def _may_run(self, project_id: int, upto: int, now: float) -> bool:
        # a hint newer than the failure is a sign that Label Studio is there again
        return upto > self._failed_upto.get(project_id, 0) or self._not_before.get(project_id, 0.0) <= now

    def _look_around(self, now: float) -> None:
        for project_id in self.refresher.known_projects():
            if now - self._looked_at.setdefault(project_id, now) >= self.settings.poll_interval:
                self._looked_at[project_id] = now
                self.hints.add(project_id, "poll")

    def _refresh(self, project_id: int) -> bool:
        with project_lock(self.settings.project_dir(project_id)) as held:
            if not held:  # another worker is at it; the hints stay and are looked at again
                return False
            pending = self.hints.pending().get(project_id)
            if pending is None:  # another worker has just done it
                return False
            try:
                last = self._run.run(project_id, pending, self._check)
            except Exception as error:
                wait = self._back_off(project_id)
                self._failed_upto[project_id] = pending.upto
                said = explain(error)
                log.error("project %d: refresh failed, next try in %.0f s: %s", project_id, wait, said)
                log.debug("project %d", project_id, exc_info=error)
                return True
        if last is not None:
            self._failures.pop(project_id, None)
            self._not_before.pop(project_id, None)
            self._looked_at[project_id] = self.clock()
            self._idle_left.add(project_id)
            self.trainings.consider(project_id, last.labels)
        return True

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _back_off(self, project_id: int) -> float:
        self._failures[project_id] = self._failures.get(project_id, 0) + 1
        wait = min(MAX_BACKOFF, 2.0 ** self._failures[project_id])
        self._not_before[project_id] = self.clock() + wait
        return wait

    def _idle(self, now: float, seen: int) -> bool:
        def interrupted() -> bool:
            poll_due = self.clock() - now >= self.settings.poll_interval
            return self._stop.is_set() or poll_due or self.hints.newest() != seen

        ran = False
        for project_id in sorted(self._idle_left):
            if interrupted():
                break
            if self._not_before.get(project_id, 0.0) > now:
                continue
            with project_lock(self.settings.project_dir(project_id)) as held:
                if not held:
                    continue
                try:
                    with idle_counts(self.settings, project_id):
                        more = self.refresher.idle_step(project_id, interrupted)
                except Exception as error:
                    wait = self._back_off(project_id)
                    log.error("project %d: idle work failed, next try in %.0f s: %s", project_id, wait, error)
                    continue
            ran = True
            if not more:
                self._idle_left.discard(project_id)
        return ran


def make_worker(settings: Settings, queues: Sequence[str] = ()) -> Endless:
    """Return the worker of the mode the settings ask for; ``queues`` restricts one that works for Redis."""
    from backend.refresh import Refresher

    alone = not distributed(settings)
    refresher: Parts = Refresher(settings)
    if shared := share(settings):
        refresher = SharedRefreshes(refresher, shared, alone=alone)
    if alone:
        return Worker(settings, open_hints(settings), refresher)
    from backend.jobs.distributed.worker import DistributedWorker

    return DistributedWorker(settings, refresher, queues)


def work(settings: Settings, parent: int | None, queues: Sequence[str] = ()) -> None:
    """Run a worker in this process until SIGTERM, or until ``parent`` is gone."""
    worker = make_worker(settings, queues)

    def end(*_: object) -> None:
        worker.stop()
        exit_after_grace(0)

    signal.signal(signal.SIGTERM, end)
    if parent is None:
        signal.signal(signal.SIGINT, end)
    else:
        ignore_interrupt()
        die_with(parent, worker.stop)
    os.nice(NICENESS)  # the server answers annotators first
    worker.run()


def main() -> None:
    """Entry point of the worker process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, default=None, help="end when this process is gone")
    args = parser.parse_args()
    settings = get_settings()
    configure(settings, "worker")
    work(settings, args.parent)


if __name__ == "__main__":
    main()
