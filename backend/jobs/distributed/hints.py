"""Hints in Redis, and the one waiting RQ job a project that they lead to."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from redis import Redis
from rq import Retry
from rq.exceptions import DuplicateJobError
from rq.job import JobStatus

from backend.jobs.base import Pending
from backend.jobs.debounce import due_at
from backend.jobs.distributed.book import Book
from backend.jobs.distributed.jobs import FAILURE_TTL, REFRESH, RESULT_TTL, job_id, queue
from backend.jobs.distributed.link import link, redis_time, told
from backend.settings import Settings

_NEWEST, _WAITING = "lineup:newest", "lineup:waiting"
# seconds before each further try of a refresh that failed, as the embedded worker waits
BACKOFF = (2, 4, 8, 16, 32, 60, 60, 60)

# ids are microseconds of Redis' clock, so that they grow even after Redis has lost everything
_ADD = """
local t = redis.call('TIME')
local now = t[1] .. '.' .. string.format('%06d', t[2])
local id = tonumber(t[1]) * 1000000 + tonumber(t[2])
local newest = tonumber(redis.call('GET', KEYS[1]) or '0')
if id <= newest then id = newest + 1 end
id = string.format('%.0f', id)
redis.call('SET', KEYS[1], id)
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('HSETNX', KEYS[3], 'first', now)
redis.call('HSET', KEYS[3], 'last', now, 'upto', id, 'reason:' .. ARGV[2], id)
redis.call('HINCRBY', KEYS[3], 'count', 1)
return {redis.call('HGET', KEYS[3], 'first'), now}
"""
# what came during the refresh counts from its end: a stream of events cannot put the next one off for ever
_DONE = """
local t = redis.call('TIME')
local all = redis.call('HGETALL', KEYS[2])
local left = 0
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 7) == 'reason:' then
    if tonumber(all[i + 1]) <= tonumber(ARGV[2]) then redis.call('HDEL', KEYS[2], all[i])
    else left = left + 1 end
  end
end
if left == 0 then
  redis.call('DEL', KEYS[2])
  redis.call('SREM', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[2], 'first', t[1] .. '.' .. string.format('%06d', t[2]), 'count', left)
end
return left
"""


class RedisHints:
    """The distributed mode's `Hints`: kept in Redis, each leading to a job at the moment the debounce says.

    Parameters
    ----------
    settings : Settings
    connection : Redis, optional
        None: one of its own.

    Notes
    -----
    The waiting job of a project has an id that names the project's *generation*, and RQ refuses a second one of the
    same id. A job that starts ends its generation before it reads the hints: a hint added before that is seen by the
    job, one added after it finds no job of the new generation and makes one. Times are those of Redis' clock, but RQ
    brings scheduled jobs to the queue by that of the caretaker's machine: where it is slow, refreshes are late by as
    much.
    """

    def __init__(self, settings: Settings, connection: Redis | None = None) -> None:
        self.settings = settings
        self.connection = connection or link(settings)
        self.book = Book(self.connection)
        self.queue = queue(self.connection)
        self._add = self.connection.register_script(_ADD)
        self._done = self.connection.register_script(_DONE)

    @property
    def problem(self) -> str | None:
        """Why Redis cannot be used, None if it can."""
        try:
            with told():
                self.connection.ping()
        except RuntimeError as error:
            return str(error)
        return None

    def add(self, project_id: int, reason: str) -> None:
        """Note that a project may have changed, and see to it that a refresh comes."""
        with told():
            first, last = self._add(keys=[_NEWEST, _WAITING, _hints(project_id)], args=[project_id, reason])
            at = due_at(float(first), float(last), self.settings.debounce_quiet, self.settings.debounce_max)
            self._schedule(project_id, at, move=True)

    def again(self, project_id: int, wait: float = 0.0) -> None:
        """See to it that a job waits for a project's open hints; a new one starts in ``wait`` seconds."""
        with told():
            if self.connection.exists(_hints(project_id)):
                self._schedule(project_id, redis_time(self.connection) + wait, move=False)

    def _schedule(self, project_id: int, at: float, *, move: bool) -> None:
        # RQ's schedule knows whole seconds
        moment = math.ceil(at)
        job = self.queue.create_job(
            REFRESH,
            args=(project_id, generation := self.book.generation(project_id)),
            job_id=job_id(project_id, generation),
            status=JobStatus.SCHEDULED,
            timeout=self.settings.job_timeout,
            result_ttl=RESULT_TTL,
            failure_ttl=FAILURE_TTL,
            retry=Retry(max=len(BACKOFF), interval=list(BACKOFF)),
            description=f"refresh of project {project_id}",
        )
        try:
            self.queue.schedule_job(job, datetime.fromtimestamp(moment, UTC), unique=True)
        except DuplicateJobError:  # one waits already: only its moment moves, unless it has left the schedule
            if move:
                self.connection.zadd(self.queue.scheduled_job_registry.key, {job.id: moment}, xx=True)

    def pending(self) -> dict[int, Pending]:
        """Return the open hints by project id."""
        with told():
            projects = sorted(int(entry) for entry in self.connection.smembers(_WAITING))
            with self.connection.pipeline() as pipe:
                for project_id in projects:
                    pipe.hgetall(_hints(project_id))
                found = pipe.execute()
        return {project_id: _read(raw) for project_id, raw in zip(projects, found, strict=True) if raw}

    def take(self, project_id: int) -> int:
        """Return the id up to which a refresh that starts now sees a project's hints; 0 without hints."""
        with told():
            return int(self.connection.hget(_hints(project_id), "upto") or 0)

    def done(self, project_id: int, upto: int) -> None:
        """Forget the hints a finished refresh has seen; later ones stay."""
        with told():
            self._done(keys=[_WAITING, _hints(project_id)], args=[project_id, upto])

    def newest(self) -> int:
        """Return the id of the newest hint ever given, open or not."""
        with told():
            return int(self.connection.get(_NEWEST) or 0)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _hints(project_id: int) -> str:
    return f"lineup:hints:{project_id}"


def _read(raw: dict[bytes, bytes]) -> Pending:
    reasons = (name.decode().removeprefix("reason:") for name in raw if name.startswith(b"reason:"))
    return Pending(
        float(raw[b"first"]), float(raw[b"last"]), int(raw[b"count"]), frozenset(reasons), int(raw[b"upto"])
    )
