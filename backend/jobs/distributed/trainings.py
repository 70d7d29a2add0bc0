"""The distributed mode's trainings: one RQ job each, on the queue `train`, for workers that do nothing else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from rq import worker_registration
from rq.timeouts import JobTimeoutException

from backend.finetuning.due import ask_if_due
from backend.finetuning.leftovers import clean_ended
from backend.finetuning.record import read_training
from backend.jobs.base import LeaseLost, QueueUnavailable, Stopped
from backend.jobs.distributed.jobs import FAILURE_TTL, RESULT_TTL, TRAIN, queue
from backend.jobs.distributed.lease import Lease, is_leased
from backend.jobs.distributed.link import told
from backend.jobs.locks import training_lock
from backend.settings import Settings

log = logging.getLogger(__name__)

# seconds between looks for trainings that are asked for and have neither a job nor a worker
LOOK_EVERY = 10.0


def training_lease(project_id: int) -> str:
    """Return the name of the lease on a project's training."""
    return f"training:{project_id}"


def training_workers(connection: Redis) -> int:
    """Return how many workers take trainings."""
    with told():
        return len(worker_registration.get_keys(queue=queue(connection, "train")))


class QueuedTrainings:
    """Puts trainings on the queue, and does them.

    A job names a project and nothing else: what is to be trained stands in the project's record in `MODEL_DIR`, so that
    whoever can write to Redis can begin only what is asked for.

    Parameters
    ----------
    settings : Settings
    connection : Redis
    name : str
        The worker's.
    stopping : Event
        Set when the worker is to end.
    """

    def __init__(
        self, settings: Settings, connection: Redis, name: str, stopping: threading.Event | None = None
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.name = name
        self._queue = queue(connection, "train")
        self._stopping = stopping or threading.Event()
        self._next = 0.0

    def consider(self, project_id: int, labels: int) -> None:
        """Ask for a training after a refresh that found so many labels, if it is time."""
        try:
            if ask_if_due(self.settings, project_id, labels):
                self.enqueue(project_id)
        except (
            OSError,
            QueueUnavailable,
        ) as error:  # the refresh has ended well; a training worker looks again
            log.warning("project %d: no training could be asked for: %s", project_id, error)

    def enqueue(self, project_id: int) -> bool:
        """Put a training that is asked for on the queue; return False where it is there, or being done.

        Raises
        ------
        QueueUnavailable
            If Redis cannot take it.
        """
        name = f"train-{project_id}"
        with told():
            if is_leased(self.connection, training_lease(project_id)) or name in self._queue.get_job_ids():
                return False
            job = self._queue.create_job(
                TRAIN,
                args=(project_id,),
                job_id=name,
                timeout=self.settings.job_timeout,
                result_ttl=RESULT_TTL,
                failure_ttl=FAILURE_TTL,
                description=f"training on project {project_id}",
            )
            self._queue.enqueue_job(job)
        return True

    def look(self, known_projects: Callable[[], list[int]]) -> None:
        """Put on the queue what a worker or a Redis that is gone has left."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_EVERY
        for project_id in known_projects():
            record = read_training(self.settings, project_id)
            clean_ended(self.settings, project_id, record)
            if record.ready and self.enqueue(project_id):
                log.info("project %d: a training is taken up", project_id)

    def train(self, project_id: int) -> dict[str, Any]:
        """Do a project's training if it is asked for and nobody else does it; the RQ job.

        Raises
        ------
        ValueError
            If the argument is no number.
        Exception
            Whatever made it fail.
        """
        from backend.finetuning.run import run_training

        project_id = int(project_id)  # from Redis, and about to become part of a path
        lease = Lease(self.connection, training_lease(project_id), self.name, self.settings.lease_seconds)
        if not lease.acquire():
            return {"project": project_id, "outcome": "busy"}

        def check() -> None:
            lease.check()
            if self._stopping.is_set():
                raise Stopped

        with lease.kept(), training_lock(self.settings.project_dir(project_id)) as held:
            if not held:
                return {"project": project_id, "outcome": "busy"}
            try:
                record = run_training(self.settings, project_id, check=check, timeout=JobTimeoutException)
            except (Stopped, LeaseLost, JobTimeoutException):
                return {"project": project_id, "outcome": "put off"}
        return {"project": project_id, "outcome": record.state}
