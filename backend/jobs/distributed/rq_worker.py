"""RQ's worker as Lineup needs it: jobs run in this process, where the backbone is loaded, under a watch."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis, RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.timeouts import UnixSignalDeathPenalty
from rq.worker import BaseWorker

from backend.jobs.distributed.jobs import SERIALIZER, LineupJob, RefreshFailed, queue

log = logging.getLogger(__name__)

HEARTBEAT_EVERY = 10.0
# a timeout that was swallowed is repeated; what even that does not end is killed with its process
AGAIN_AFTER = 5.0
KILL_AFTER = 60.0
WORKER_TTL = 60


class InsistentDeathPenalty(UnixSignalDeathPenalty):
    """A job's timeout, raised in the main thread, and again as long as the job goes on."""

    def setup_death_penalty(self) -> None:
        """Start the clock."""
        signal.signal(signal.SIGALRM, self.handle_death_penalty)
        signal.setitimer(signal.ITIMER_REAL, self._timeout, AGAIN_AFTER)

    def cancel_death_penalty(self) -> None:
        """Stop the clock."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class InProcessWorker(SimpleWorker):
    """An RQ worker that forks nothing.

    RQ's usual worker forks for every job, which would load the backbone every time; its simple one sends no heartbeat
    while a job runs, so a killed one would look busy for hours.

    Parameters
    ----------
    sorts : sequence of str
        Sorts of work, see `backend.jobs.distributed.jobs.QUEUES`.
    name : str
    connection : Redis
    between : callable
        Called between two jobs, about once a second.
    ending : callable
        Tells whether to end.
    """

    death_penalty_class = InsistentDeathPenalty
    max_connection_wait_time = 5.0
    log_result_lifespan = False

    def __init__(
        self,
        sorts: Sequence[str],
        name: str,
        connection: Redis,
        between: Callable[[], None],
        ending: Callable[[], bool],
    ) -> None:
        super().__init__(
            [queue(connection, sort) for sort in sorts],
            name=name,
            connection=connection,
            job_class=LineupJob,
            serializer=SERIALIZER,
            worker_ttl=WORKER_TTL,
        )
        self._between = between
        self._ending = ending
        self._beating = threading.Lock()

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Any, Queue] | None:
        """Wait for the next job; do what is to be done between two jobs meanwhile."""
        while not self._ending():
            found: tuple[Any, Queue] | None = super().dequeue_job_and_maintain_ttl(1, max_idle_time=1)
            if found is not None:
                return found
            self._between()
        raise StopRequested

    def execute_job(self, job: LineupJob, queue: Queue) -> None:
        """Run a job in this thread, with a heartbeat from another."""
        with self._watched(job):
            super().execute_job(job, queue)

    def get_heartbeat_ttl(self, job: LineupJob) -> int:
        """Return how long a job counts as alive after a heartbeat, in seconds."""
        return int(BaseWorker.get_heartbeat_ttl(self, job))

    def cleanup_execution(self, job: LineupJob, pipeline: Any) -> None:
        """Forget the execution, not in the middle of its heartbeat."""
        with self._beating:
            super().cleanup_execution(job, pipeline)

    def handle_exception(self, job: LineupJob, *exc_info: Any) -> None:
        """Say in one line why a job failed, unless it has; RQ keeps the traceback."""
        error = exc_info[1]
        if not isinstance(error, RefreshFailed):
            log.error("job %s failed: %s: %s", job.id, type(error).__name__, error)

    def subscribe(self) -> None:
        """Listen to no commands: whoever can write to Redis could end every worker."""

    def unsubscribe(self) -> None:
        """Do nothing, as there is no subscription."""

    def _install_signal_handlers(self) -> None:
        # the process has its own: a running refresh is to end at its next progress report, not to be waited for
        return

    @contextmanager
    def _watched(self, job: LineupJob) -> Iterator[None]:
        ended = threading.Event()
        started = time.monotonic()

        def watch() -> None:
            while not ended.wait(HEARTBEAT_EVERY):
                if time.monotonic() - started > (job.timeout or 0) + KILL_AFTER:
                    log.critical(
                        "job %s does not end, not even by its timeout: the worker ends itself", job.id
                    )
                    os._exit(1)
                try:
                    with self._beating:
                        if self.execution is not None:
                            self.maintain_heartbeats(job)
                except RedisError as error:
                    log.warning("job %s: no heartbeat: %s", job.id, error)

        watcher = threading.Thread(target=watch, name="heartbeat", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
