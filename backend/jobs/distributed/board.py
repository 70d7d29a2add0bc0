"""The refresh's side of shared embedding: shards on a queue, taken back, answered, or lost with their worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from uuid import uuid4

from redis import Redis, RedisError
from rq.utils import as_text

from backend.embedding.stage import Item
from backend.jobs.distributed.jobs import EMBED, queue
from backend.jobs.distributed.lease import is_leased
from backend.jobs.distributed.seal import Forged, Seal
from backend.jobs.distributed.shards import TTL, Answer, Malformed, Shard
from backend.settings import Settings

log = logging.getLogger(__name__)

# seconds a shard may have neither a place in the queue, nor a worker, nor an answer before it counts as lost
LOST_AFTER = 5.0


def run_key(project_id: int) -> str:
    """Return where the run of a project stands whose shards are wanted."""
    return f"lineup:embed:{project_id}"


def answers_key(run: str) -> str:
    """Return where the answers to a run's shards go."""
    return f"lineup:embed:{run}:answers"


def begun_key(run: str) -> str:
    """Return where the numbers of a run's shards stand that some worker has begun."""
    return f"lineup:embed:{run}:begun"


def shard_lease(run: str, number: int) -> str:
    """Return the name of the lease of the worker that is at a shard."""
    return f"shard:{run}:{number}"


class Board:
    """The shards of one pass over a project's new images; its methods raise `RedisError` where Redis is away.

    Parameters
    ----------
    settings : Settings
    connection : Redis
    project_id : int
    fingerprint : str
        Of the embedder.
    backbone : str or None
        The project's own that it is.

    Attributes
    ----------
    open : dict of int to tuple of (task id, URI)
        By number: shards that others may have.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Redis,
        project_id: int,
        fingerprint: str,
        backbone: str | None = None,
    ) -> None:
        self.run = uuid4().hex
        self.open: dict[int, tuple[Item, ...]] = {}
        self._project, self._fingerprint, self._backbone = project_id, fingerprint, backbone
        self._timeout = settings.job_timeout
        self._redis = connection
        self._queue = queue(connection, "embed")
        self._seal = Seal(settings)
        self._next = 0
        self._missing: dict[int, float] = {}

    def publish(self, items: Sequence[Item]) -> int:
        """Offer images to whoever is free, as a shard of the number returned."""
        shard = Shard(self.run, self._next, self._project, self._fingerprint, tuple(items), self._backbone)
        self._next += 1
        with self._redis.pipeline() as pipe:
            job = self._queue.create_job(
                EMBED,
                args=(self._seal.put("shard", shard.to_json()),),
                job_id=self._job_id(shard.number),
                timeout=self._timeout,
                ttl=TTL,
                result_ttl=0,  # the answer is elsewhere
                failure_ttl=TTL,
                description=f"{len(items)} images of project {self._project}",
            )
            self._queue.enqueue_job(job, pipeline=pipe)
            # shards of an earlier pass over this project are wanted no more
            pipe.set(run_key(self._project), self.run, ex=TTL)
            pipe.execute()
        self.open[shard.number] = shard.items
        return shard.number

    def take_back(self) -> tuple[Item, ...] | None:
        """Take the shard that was offered last and that nobody has begun; None if there is none."""
        for number in sorted(self.open, reverse=True):
            # whoever takes the id from the list has the shard
            if self._redis.lrem(self._queue.key, 1, self._job_id(number)):
                self._forget(number)
                return self.open.pop(number)
        return None

    def answer(self) -> tuple[tuple[Item, ...], Answer] | None:
        """Return a shard that was answered, with the answer; it is no longer open. None: there is none."""
        while raw := self._redis.lpop(answers_key(self.run)):
            try:
                answer = Answer.from_json(self._seal.take_off("answer", as_text(raw)))
            except (Forged, Malformed) as error:
                log.error("project %d: %s", self._project, error)
                continue
            if answer.run == self.run and answer.number in self.open:
                return self.open.pop(answer.number), answer
        return None

    def lost(self) -> tuple[tuple[Item, ...], bool] | None:
        """Return a shard that nobody has any more, and whether somebody had begun it; it is no longer open."""
        now = time.monotonic()
        self._redis.set(run_key(self._project), self.run, ex=TTL)
        queued = {as_text(entry) for entry in self._redis.lrange(self._queue.key, 0, -1)}
        missing = [
            number
            for number in self.open
            if self._job_id(number) not in queued
            and not is_leased(self._redis, shard_lease(self.run, number))
        ]
        # a worker that has just taken one has no lease yet
        self._missing = {number: self._missing.get(number, now) for number in missing}
        for number, since in self._missing.items():
            if now - since >= LOST_AFTER:
                begun = bool(self._redis.sismember(begun_key(self.run), str(number)))
                self._forget(number)
                del self._missing[number]
                return self.open.pop(number), begun
        return None

    def close(self) -> None:
        """Take everything back that is still there; where Redis does not answer it goes by itself."""
        try:
            for number in list(self.open):
                self._redis.lrem(self._queue.key, 1, self._job_id(number))
                self._forget(number)
            self._redis.delete(answers_key(self.run), begun_key(self.run))
            if self._redis.get(run_key(self._project)) == self.run.encode():
                self._redis.delete(run_key(self._project))
        except RedisError as error:
            log.warning("project %d: shards are left in Redis, they expire unused: %s", self._project, error)

    def _job_id(self, number: int) -> str:
        return f"embed-{self._project}-{self.run}-{number}"

    def _forget(self, number: int) -> None:
        self._redis.delete(f"rq:job:{self._job_id(number)}")
