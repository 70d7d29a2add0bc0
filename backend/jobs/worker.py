"""The worker: turns hints into refreshes, finds changes no hint told of, and works on when nobody waits."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from backend.jobs.debounce import due
from backend.jobs.hints import HintStore
from backend.jobs.lifeline import die_with, exit_after_grace, ignore_interrupt
from backend.jobs.locks import announce_worker, project_lock
from backend.logs import configure, log_fields
from backend.settings import Settings, get_settings
from backend.status import LastError, LastRefresh, Status, read_status, write_status
from backend.tally import REFRESHES, STEPS, Counts, add, count, tally

log = logging.getLogger(__name__)

TICK = 0.2
IDLE_EVERY = 1.0
STATUS_EVERY = 0.5
MAX_BACKOFF = 60.0
NICENESS = 5

Progress = Callable[[str, int, int], None]


class Stopped(Exception):
    """The worker was asked to end in the middle of a refresh; its hints stay open."""


class Result(Protocol):
    """What the worker needs of a refresh's result: fields named as in `backend.status.LastRefresh`."""

    version: str


class Refreshes(Protocol):
    """What the worker runs; `backend.refresh.Refresher` is the real one."""

    def known_projects(self) -> list[int]: ...

    def refresh(self, project_id: int, reasons: Collection[str], progress: Progress) -> Result: ...

    def idle_step(self, project_id: int, interrupted: Callable[[], bool]) -> bool: ...


class Worker:
    """One loop over the hints of all projects.

    Parameters
    ----------
    settings : Settings
    hints : HintStore
    refresher : Refreshes
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: Settings,
        hints: HintStore,
        refresher: Refreshes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.hints = hints
        self.refresher = refresher
        self.clock = clock
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
        with announce_worker(self.settings.model_dir):
            for project_id in self.refresher.known_projects():
                self.hints.add(project_id, "start")
            while not self._stop.is_set():
                if not self.step():
                    self._stop.wait(TICK)

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
            reasons = pending.reasons
            upto = self.hints.take(project_id)
            with log_fields(project=project_id, job=f"{project_id}-{upto}"), tally() as counts:
                self._run(project_id, reasons, upto, counts)
        return True

    def _run(self, project_id: int, reasons: Collection[str], upto: int, counts: Counts) -> None:
        folder = self.settings.project_dir(project_id)
        log.info("project %d: refresh (%s)", project_id, ", ".join(sorted(reasons)))
        status = replace(
            read_status(folder),
            state="running",
            step="",
            done=0,
            total=0,
            started_at=self.clock(),
            worker_pid=os.getpid(),
        )
        write_status(folder, status)
        try:
            result = self.refresher.refresh(project_id, reasons, self._reporter(project_id, status))
        except Stopped:
            log.info("project %d: refresh put off, the worker is ending", project_id)
            count(REFRESHES, "put off")
            write_status(folder, replace(_counted(status, counts), state="idle", started_at=None))
        except Exception as error:
            count(REFRESHES, "failed")
            self._failed(project_id, _counted(status, counts), error, upto)
        else:
            self._succeeded(project_id, status, result, upto, counts)

    def _reporter(self, project_id: int, status: Status) -> Progress:
        folder = self.settings.project_dir(project_id)
        last_step, last_write = "", 0.0

        def report(step: str, done: int, total: int) -> None:
            nonlocal last_step, last_write
            if self._stop.is_set():
                raise Stopped
            now = time.monotonic()
            if step != last_step or now - last_write >= STATUS_EVERY:
                last_step, last_write = step, now
                write_status(folder, replace(status, step=step, done=done, total=total))

        return report

    def _succeeded(self, project_id: int, status: Status, result: Result, upto: int, counts: Counts) -> None:
        names = LastRefresh.__dataclass_fields__
        known = {name: value for name, value in vars(result).items() if name in names}
        last = LastRefresh(**{**known, "finished_at": self.clock(), "upto": upto})
        count(REFRESHES, "learned" if last.learned else "kept")
        for step, seconds in last.seconds.items():
            count(STEPS, step, seconds)
        write_status(
            self.settings.project_dir(project_id),
            replace(
                _counted(status, counts), state="idle", started_at=None, last_refresh=last, last_error=None
            ),
        )
        self.hints.done(project_id, upto)
        self._failures.pop(project_id, None)
        self._not_before.pop(project_id, None)
        self._looked_at[project_id] = self.clock()
        self._idle_left.add(project_id)
        log.info("project %d: version %s, %s", project_id, last.version, _steps(last.seconds))

    def _failed(self, project_id: int, status: Status, error: Exception, upto: int) -> None:
        wait = self._back_off(project_id)
        self._failed_upto[project_id] = upto
        message = f"{type(error).__name__}: {error}"
        log.error("project %d: refresh failed, next try in %.0f s: %s", project_id, wait, message)
        log.debug("project %d", project_id, exc_info=error)
        write_status(
            self.settings.project_dir(project_id),
            replace(
                status, state="failed", started_at=None, last_error=LastError(message, self.clock(), upto)
            ),
        )

    def _back_off(self, project_id: int) -> float:
        self._failures[project_id] = self._failures.get(project_id, 0) + 1
        wait = min(MAX_BACKOFF, 2.0 ** self._failures[project_id])
        self._not_before[project_id] = self.clock() + wait
        return wait

    @contextmanager
    def _idle_counts(self, project_id: int) -> Iterator[None]:
        """Keep what idle work counts in the project's status."""
        folder = self.settings.project_dir(project_id)
        with log_fields(project=project_id, job="idle"), tally() as counts:
            try:
                yield
            finally:
                if counts:
                    write_status(folder, _counted(read_status(folder), counts))

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
                    with self._idle_counts(project_id):
                        more = self.refresher.idle_step(project_id, interrupted)
                except Exception as error:
                    wait = self._back_off(project_id)
                    log.error("project %d: idle work failed, next try in %.0f s: %s", project_id, wait, error)
                    continue
            ran = True
            if not more:
                self._idle_left.discard(project_id)
        return ran


def _counted(status: Status, counts: Counts) -> Status:
    return replace(status, counts=add(status.counts, counts))


def _steps(seconds: dict[str, float]) -> str:
    return ", ".join(f"{step} {value:.1f} s" for step, value in seconds.items()) or "nothing to do"


def serve_hints(settings: Settings, parent: int | None) -> None:
    """Run a worker in this process until SIGTERM, or until ``parent`` is gone."""
    from backend.refresh import Refresher

    worker = Worker(settings, HintStore(settings.model_dir), Refresher(settings))

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
    serve_hints(settings, args.parent)


if __name__ == "__main__":
    main()
