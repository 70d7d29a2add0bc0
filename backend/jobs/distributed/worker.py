"""The distributed mode's worker: RQ jobs become refreshes, one a project over all workers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from redis import RedisError

from backend.jobs.base import LeaseLost, QueueUnavailable, Stopped
from backend.jobs.distributed.caretaker import Caretaker
from backend.jobs.distributed.hints import BACKOFF, RedisHints
from backend.jobs.distributed.jobs import EMBED, REFRESH, TRAIN, USUAL, RefreshFailed, provide
from backend.jobs.distributed.lease import Lease, project_lease
from backend.jobs.distributed.link import link, redis_time
from backend.jobs.distributed.rq_worker import InProcessWorker
from backend.jobs.distributed.shard_worker import Embeds, ShardWorker
from backend.jobs.distributed.trainings import QueuedTrainings
from backend.jobs.distributed.workers import worker_name
from backend.jobs.locks import project_lock
from backend.jobs.running import Refreshes, RefreshRun, idle_counts
from backend.settings import Settings

log = logging.getLogger(__name__)

# seconds to wait where a file lock is held without a lease: by `lineup rollback`, or by a worker that was stopped
BUSY_WAIT = 2.0
RECONNECT_EVERY = 2.0
PATIENCE = 5.0

Outcome = dict[str, Any]


class Parts(Refreshes, Embeds, Protocol):
    """What a worker runs; `backend.refresh.Refresher` is the real one."""


class DistributedWorker:
    """One of any number of workers.

    Parameters
    ----------
    settings : Settings
    refresher : Parts
    queues : sequence of str
        Sorts of work it does; none means all but trainings.
    """

    def __init__(self, settings: Settings, refresher: Parts, queues: Sequence[str] = ()) -> None:
        self.settings = settings
        self.refresher = refresher
        self.sorts = tuple(queues) or USUAL
        self.name = worker_name()
        self.connection = link(settings, PATIENCE)
        self.hints = RedisHints(settings, self.connection)
        self.book = self.hints.book
        self._refresh = RefreshRun(settings, self.hints, refresher)
        self._stop = threading.Event()
        self._idle_left: set[int] = set()
        self.shards = ShardWorker(settings, self.connection, self.name, refresher, self._stop)
        self.trainings = QueuedTrainings(settings, self.connection, self.name, self._stop)

    def stop(self) -> None:
        """Ask it to end; a running refresh ends at its next progress report."""
        self._stop.set()

    def run(self) -> None:
        """Work until `stop`; where Redis goes away, wait until it is there again."""
        provide(REFRESH, self.refresh)
        provide(EMBED, self.shards.embed)
        provide(TRAIN, self.trainings.train)
        caretaker = Caretaker(self.settings, self.name, self.refresher.known_projects, self._stop)
        caretaker.start()
        log.info("worker %s takes jobs of %s", self.name, ", ".join(self.sorts))
        greeted = False
        try:
            while not self._stop.is_set():
                try:
                    if not greeted:  # as the embedded worker: its settings may be new
                        for project_id in self.refresher.known_projects():
                            self.hints.add(project_id, "start")
                        greeted = True
                    self._take_jobs()
                except (RedisError, QueueUnavailable) as error:
                    log.error("%s; trying again in %.0f s", error, RECONNECT_EVERY)
                    self._stop.wait(RECONNECT_EVERY)
        finally:
            self._stop.set()
            caretaker.join()
        log.info("worker %s has ended", self.name)

    def _take_jobs(self) -> None:
        # a connection of its own: RQ waits on it for long
        worker = InProcessWorker(
            self.sorts, self.name, link(self.settings, PATIENCE), self.idle, self._stop.is_set
        )
        # a loss of Redis leaves this name registered for a while
        worker.connection.delete(worker.key)
        worker.work(logging_level="DEBUG" if self.settings.log_level == "DEBUG" else "WARNING")
        if not self._stop.is_set():  # RQ gives up where Redis breaks off in the middle of something
            log.warning("the connection to Redis broke off")
            self._stop.wait(RECONNECT_EVERY)

    def refresh(self, project_id: int, generation: int) -> Outcome:
        """Refresh a project if nobody else does; the RQ job.

        Returns
        -------
        dict
            ``outcome``: ``refreshed`` with the ``version``, ``nothing waits``, ``busy``, ``put off``, or ``superseded``
            where a later job has begun before this further try of one that failed.

        Raises
        ------
        ValueError
            If the arguments are no numbers.
        RefreshFailed
            If the refresh failed, or could not begin; RQ tries again later.
        """
        # from Redis, and about to become part of a path
        project_id, generation = int(project_id), int(generation)
        if self.book.begin(project_id, generation) > generation + 1:
            return {"project": project_id, "outcome": "superseded"}
        lease = Lease(self.connection, project_lease(project_id), self.name, self.settings.lease_seconds)
        if not lease.acquire():  # whoever has it looks for open hints once it is through
            return {"project": project_id, "outcome": "busy"}
        again: float | None = 0.0
        try:
            with lease.kept(), self._told(project_id), project_lock(self._folder(project_id)) as held:
                if not held:
                    again = BUSY_WAIT
                    return {"project": project_id, "outcome": "busy"}
                return self._run(project_id, lease)
        except RefreshFailed as failure:
            # RQ tries again what failed; what came meanwhile is a refresh of its own
            again = None if failure.upto in (None, self.hints.take(project_id)) else 0.0
            raise
        finally:
            # a job that found the project leased has left its hints to this one
            if again is not None:
                self.hints.again(project_id, again)

    def _folder(self, project_id: int) -> Path:
        return self.settings.project_dir(project_id)

    def _run(self, project_id: int, lease: Lease) -> Outcome:
        pending = self.hints.pending().get(project_id)
        if pending is None:
            return {"project": project_id, "outcome": "nothing waits"}
        if self.book.page(project_id).worker != self.name:
            self.refresher.forget(project_id)  # it is of before another worker's turn
        try:
            last = self._refresh.run(
                project_id, pending, lambda: self._check(lease), lambda: self._take_over(project_id)
            )
        except LeaseLost:
            last = None
        except Exception as error:
            raise RefreshFailed(project_id, error, pending.upto) from error
        if last is None:
            return {"project": project_id, "outcome": "put off"}
        self.book.write(project_id, looked_at=redis_time(self.connection), not_before=0.0)
        # where nothing had changed, the idle work is still that of whoever refreshed it before
        if self.refresher.remembers(project_id):
            self.book.write(project_id, idle=True)
            self._idle_left.add(project_id)
        self.trainings.consider(project_id, last.labels)
        return {"project": project_id, "outcome": "refreshed", "version": last.version}

    def _take_over(self, project_id: int) -> None:
        """Write this worker down as the project's last: what others remember of it is stale from here on."""
        self._idle_left.discard(project_id)
        self.book.write(project_id, worker=self.name, idle=False)

    def _check(self, lease: Lease) -> None:
        lease.check()
        if self._stop.is_set():
            raise Stopped

    @contextmanager
    def _told(self, project_id: int) -> Iterator[None]:
        """Tell of a failure, and have the caretaker ask anew once RQ has tried often enough."""
        try:
            yield
        except (RedisError, QueueUnavailable):
            raise
        except Exception as error:
            failure = error if isinstance(error, RefreshFailed) else RefreshFailed(project_id, error)
            self.book.write(project_id, not_before=redis_time(self.connection) + BACKOFF[-1])
            log.error("%s; RQ tries again", failure)
            log.debug("project %d", project_id, exc_info=error)
            if failure is error:
                raise
            raise failure from error

    def idle(self) -> None:
        """Do a piece of the idle work of the projects this worker was the last to refresh."""
        if "train" in self.sorts:
            self.trainings.look(self.refresher.known_projects)
        for project_id in sorted(self._idle_left):
            if self._stop.is_set():
                return
            try:
                self._idle(project_id)
            except Exception as error:
                self._idle_left.discard(project_id)
                log.error("project %d: idle work failed, the next refresh does it: %s", project_id, error)

    def _idle(self, project_id: int) -> None:
        seen = self.hints.newest()
        now = redis_time(self.connection)
        if any(self.book.page(waiting).not_before <= now for waiting in self.hints.pending()):
            return  # long work does not begin while a hint waits out its debounce
        lease = Lease(self.connection, project_lease(project_id), self.name, self.settings.lease_seconds)
        if not lease.acquire():
            return
        try:
            with lease.kept(), project_lock(self._folder(project_id)) as held:
                if held:
                    self._idle_step(project_id, lease, seen)
        finally:
            # a refresh that came meanwhile found the project leased
            self.hints.again(project_id)

    def _idle_step(self, project_id: int, lease: Lease, seen: int) -> None:
        if self.book.page(project_id).worker != self.name:
            self._idle_left.discard(project_id)
            return

        def interrupted() -> bool:
            return self._stop.is_set() or not lease.held or self.hints.newest() != seen

        with idle_counts(self.settings, project_id, lambda: lease.held):
            more = self.refresher.idle_step(project_id, interrupted)
        if not more:
            self._idle_left.discard(project_id)
            self.book.write(project_id, idle=False)
