"""The RQ jobs: one queue a sort of work, JSON instead of pickle, and no function but Lineup's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

# sorts of work, by the name a person gives `lineup worker --queue`
QUEUES = {"refresh": "lineup-refresh", "embed": "lineup-embed", "train": "lineup-train"}
# those of a worker that is not told: a training keeps a worker from all else for long
USUAL = ("refresh", "embed")
REFRESH = "lineup.refresh"
EMBED = "lineup.embed"
TRAIN = "lineup.train"
SERIALIZER = JSONSerializer
RESULT_TTL = 3600
FAILURE_TTL = 7 * 24 * 3600
_JOB_ID = re.compile(r"refresh-([0-9]+)-[0-9]+")

# what the jobs of this process call: RQ knows functions by name only
_functions: dict[str, Callable[..., Any]] = {}


def provide(name: str, function: Callable[..., Any]) -> None:
    """Have the jobs of a name run a function in this process."""
    _functions[name] = function


class RefreshFailed(RuntimeError):
    """A refresh failed, which has been told; ``upto`` is the newest hint it had seen, None where it did not begin."""

    def __init__(self, project_id: int, error: Exception, upto: int | None = None) -> None:
        super().__init__(f"project {project_id}: refresh failed: {type(error).__name__}: {error}")
        self.upto = upto


class ForeignJob(RuntimeError):
    """Somebody put a job into Redis that is not Lineup's."""


class LineupJob(Job):
    """A job that runs what `provide` named, and nothing else.

    RQ's own imports whatever function, callback or class the job names, so whoever can write to Redis could run any
    code on every worker.
    """

    @property
    def func(self) -> Callable[..., Any]:
        """The function the job stands for."""
        found = _functions.get(str(self.func_name))
        if found is None:
            raise ForeignJob(f"job {self.id} is not one of Lineup's: it is not run")
        return found

    @property
    def success_callback(self) -> None:
        """None, whatever the job says."""
        return None

    @property
    def failure_callback(self) -> None:
        """None, whatever the job says."""
        return None

    @property
    def stopped_callback(self) -> None:
        """None, whatever the job says."""
        return None

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """Send none: a job must not make a worker call an address."""


def queue(connection: Redis, sort: str = "refresh") -> Queue:
    """Return the queue of a sort of work."""
    return Queue(QUEUES[sort], connection=connection, serializer=SERIALIZER, job_class=LineupJob)


def job_id(project_id: int, generation: int) -> str:
    """Return the id of the job that a generation of a project's hints leads to."""
    return f"refresh-{project_id}-{generation}"


def waiting_projects(connection: Redis) -> set[int]:
    """Return the projects of the refresh jobs that are scheduled or queued."""
    refreshes = queue(connection)
    ids = [*refreshes.scheduled_job_registry.get_job_ids(), *refreshes.get_job_ids()]
    # whoever can write to Redis can put any id there
    return {int(found[1]) for entry in ids if (found := _JOB_ID.fullmatch(str(entry)))}
