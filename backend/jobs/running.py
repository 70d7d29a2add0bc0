"""One refresh as every worker runs it: its status is told while it goes on, its hints are forgotten at the end."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Protocol

from backend.jobs.base import Hints, LeaseLost, Pending, Stopped
from backend.logs import log_fields
from backend.settings import Settings
from backend.status import LastError, LastRefresh, Status, read_status, write_status
from backend.tally import REFRESHES, STEPS, Counts, add, count, tally

log = logging.getLogger(__name__)

STATUS_EVERY = 0.5

Progress = Callable[[str, int, int], None]


class Result(Protocol):
    """What a worker needs of a refresh's result: fields named as in `backend.status.LastRefresh`."""

    version: str


class Refreshes(Protocol):
    """What a worker runs; `backend.refresh.Refresher` is the real one."""

    def known_projects(self) -> list[int]: ...

    def refresh(
        self, project_id: int, reasons: Collection[str], progress: Progress, begins: Callable[[], None]
    ) -> Result: ...

    def remembers(self, project_id: int) -> bool: ...

    def idle_step(self, project_id: int, interrupted: Callable[[], bool]) -> bool: ...

    def forget(self, project_id: int) -> None: ...


class RefreshRun:
    """Runs refreshes for a worker that holds the project.

    Parameters
    ----------
    settings : Settings
    hints : Hints
    refresher : Refreshes
    clock : callable
        Seconds since the epoch.
    """

    def __init__(
        self, settings: Settings, hints: Hints, refresher: Refreshes, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.hints = hints
        self.refresher = refresher
        self.clock = clock

    def run(
        self,
        project_id: int,
        pending: Pending,
        check: Callable[[], None],
        begins: Callable[[], None] = lambda: None,
    ) -> LastRefresh | None:
        """Refresh a project; return what came of it, None where ``check`` put it off.

        Parameters
        ----------
        pending : Pending
            The hints this refresh answers.
        check : callable
            Raises `Stopped` or `LeaseLost` when the refresh must not go on; called at every progress report.
        begins : callable
            Called before the refresh changes anything; not where it finds nothing to do.

        Raises
        ------
        LeaseLost
            From ``check``. Nothing is written then, the project is another worker's.
        Exception
            Whatever the refresh raised, after the status has told it; the hints stay open.
        """
        with log_fields(project=project_id, job=f"{project_id}-{pending.upto}"), tally() as counts:
            return self._run(project_id, pending, check, begins, counts)

    def _run(
        self,
        project_id: int,
        pending: Pending,
        check: Callable[[], None],
        begins: Callable[[], None],
        counts: Counts,
    ) -> LastRefresh | None:
        folder = self.settings.project_dir(project_id)
        log.info("project %d: refresh (%s)", project_id, ", ".join(sorted(pending.reasons)))
        status = replace(
            read_status(folder),
            state="running",
            step="",
            done=0,
            total=0,
            started_at=self.clock(),
            worker_pid=os.getpid(),
            worker_host=socket.gethostname(),
        )
        write_status(folder, status)
        try:
            result = self.refresher.refresh(
                project_id, pending.reasons, self._reporter(project_id, status, check), begins
            )
            with suppress(Stopped):  # what has ended is not put off
                check()
        except LeaseLost:
            log.warning("project %d: refresh given up, another worker may have it by now", project_id)
            raise
        except Stopped:
            log.info("project %d: refresh put off, the worker is ending", project_id)
            count(REFRESHES, "put off")
            write_status(folder, replace(_counted(status, counts), state="idle", started_at=None))
            return None
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            failed = LastError(message, self.clock(), pending.upto)
            count(REFRESHES, "failed")
            write_status(
                folder, replace(_counted(status, counts), state="failed", started_at=None, last_error=failed)
            )
            raise
        return self._ended(project_id, status, result, pending.upto, counts)

    def _reporter(self, project_id: int, status: Status, check: Callable[[], None]) -> Progress:
        folder = self.settings.project_dir(project_id)
        last_step, last_write = "", 0.0

        def report(step: str, done: int, total: int) -> None:
            nonlocal last_step, last_write
            check()
            now = time.monotonic()
            if step != last_step or now - last_write >= STATUS_EVERY:
                last_step, last_write = step, now
                write_status(folder, replace(status, step=step, done=done, total=total))

        return report

    def _ended(
        self, project_id: int, status: Status, result: Result, upto: int, counts: Counts
    ) -> LastRefresh:
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
        log.info("project %d: version %s, %s", project_id, last.version, _steps(last.seconds))
        return last


@contextmanager
def idle_counts(
    settings: Settings, project_id: int, held: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Keep what idle work counts in the project's status, if it is still this worker's: ``held``."""
    folder = settings.project_dir(project_id)
    with log_fields(project=project_id, job="idle"), tally() as counts:
        try:
            yield
        finally:
            if counts and held():
                write_status(folder, _counted(read_status(folder), counts))


def _counted(status: Status, counts: Counts) -> Status:
    return replace(status, counts=add(status.counts, counts))


def _steps(seconds: dict[str, float]) -> str:
    return ", ".join(f"{step} {value:.1f} s" for step, value in seconds.items()) or "nothing to do"
