"""What exactly one worker does for all: start scheduled jobs, look for changes, take up what a dead worker left."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from redis import Redis, RedisError
from rq.scheduler import RQScheduler

from backend.jobs.base import QueueUnavailable
from backend.jobs.debounce import due_at
from backend.jobs.distributed.hints import RedisHints
from backend.jobs.distributed.jobs import QUEUES, SERIALIZER, waiting_projects
from backend.jobs.distributed.lease import Lease, is_leased, project_lease
from backend.jobs.distributed.link import link, redis_time
from backend.jobs.distributed.workers import announce, living, withdraw
from backend.settings import Settings

log = logging.getLogger(__name__)

TICK = 0.3
LOOK_EVERY = 1.0
# seconds an overdue hint may have neither a job nor a worker before it counts as lost
LOST_AFTER = 2.0


class Caretaker(threading.Thread):
    """A thread of every worker; the one that holds the lease takes care.

    Parameters
    ----------
    settings : Settings
    worker : str
        Name of the worker it is a thread of; it says that this worker lives, too.
    known_projects : callable
        Returns the ids of the connected projects.
    ending : Event
        Set when the worker is to end, however long its refresh takes to notice.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        known_projects: Callable[[], list[int]],
        ending: threading.Event,
    ) -> None:
        super().__init__(name="caretaker", daemon=True)
        self.settings = settings
        self.worker = worker
        self.connection: Redis = link(settings, patience=5.0)
        self.hints = RedisHints(settings, self.connection)
        self.book = self.hints.book
        self.lease = Lease(self.connection, "caretaker", worker, settings.lease_seconds)
        self._known_projects = known_projects
        # RQ's own way from the schedule to the queue; without its lock and its forked process, the lease does that
        self._scheduler = RQScheduler(
            list(QUEUES.values()), connection=self.connection, serializer=SERIALIZER
        )
        self._scheduler.prepare_registries(list(QUEUES.values()))
        self._ending = ending
        self._announced = self._looked = -math.inf
        # since when a project has had hints and nobody who works on them
        self._missing: dict[int, float] = {}

    def run(self) -> None:
        """Take care until the worker ends, through every failure of Redis or of the disk."""
        failing = False
        while not self._ending.is_set():
            try:
                self.step()
                failing = False
            except (RedisError, QueueUnavailable, OSError) as error:
                if not failing:
                    log.warning("%s; trying again", error)
                failing = True
            except Exception:  # a garbled Redis, say: the other workers' care must not end with this thread
                if not failing:
                    log.exception("the caretaker failed; trying again")
                failing = True
            self._ending.wait(TICK)
        self.leave()

    def leave(self) -> None:
        """Say that the worker goes: another one takes over at once where Redis can be told."""
        try:
            withdraw(self.connection, self.worker)
        except RedisError as error:
            log.warning("Redis was not told that this worker ends, it will notice: %s", error)
        if self.lease.held:
            self.lease.release()

    def step(self) -> bool:
        """Say that the worker lives, and take care if it is this one's turn; return whether it is."""
        now = time.monotonic()
        if now - self._announced >= self.settings.lease_seconds / 4:
            announce(self.connection, self.worker, self.settings.lease_seconds)
            self._announced = now
        mine = self.lease.renew() if self.lease.held else self.lease.acquire()
        if mine:
            self._scheduler.enqueue_scheduled_jobs()
            if now - self._looked >= LOOK_EVERY:
                self._looked = now
                self._look_around()
            self._find_lost()
        return mine

    def _look_around(self) -> None:
        now, alive = redis_time(self.connection), set(living(self.connection))
        for project_id in self._known_projects():
            page = self.book.page(project_id)
            if page.idle and page.worker not in alive:
                # what idle work needs was in that worker's memory: a whole refresh makes it anew
                self.book.write(project_id, idle=False)
                self.hints.add(project_id, "start")
            # never looked at: a project that is new, or a Redis that has lost what it knew
            if now - page.looked_at >= self.settings.poll_interval:
                self.book.write(project_id, looked_at=now)
                self.hints.add(project_id, "poll")

    def _find_lost(self) -> None:
        now, settings = redis_time(self.connection), self.settings
        overdue = [
            project_id
            for project_id, hint in self.hints.pending().items()
            if due_at(hint.first, hint.last, settings.debounce_quiet, settings.debounce_max) < now
        ]
        waiting = waiting_projects(self.connection) if overdue else set()
        missing = [
            project_id
            for project_id in overdue
            if project_id not in waiting
            and self.book.page(project_id).not_before < now
            and not is_leased(self.connection, project_lease(project_id))
        ]
        # a job that was just taken from the queue has no lease yet
        self._missing = {project_id: self._missing.get(project_id, now) for project_id in missing}
        for project_id, since in self._missing.items():
            if now - since < LOST_AFTER:
                continue
            page = self.book.page(project_id)
            log.warning("project %d: its refresh ended with its worker; another one takes it up", project_id)
            self.book.begin(project_id, page.generation)  # the lost job's id is not used again
            self.hints.again(project_id)
