"""The other workers' side of shared embedding: the RQ job that does one shard for a refresh elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from redis import Redis

from backend.embedding.parts import EmbeddingParts
from backend.embedding.stage import Item
from backend.jobs.base import Stopped
from backend.jobs.distributed.board import answers_key, begun_key, run_key, shard_lease
from backend.jobs.distributed.lease import Lease, is_leased, project_lease
from backend.jobs.distributed.seal import Forged, Seal
from backend.jobs.distributed.shards import TTL, Answer, Found, Malformed, Shard
from backend.logs import log_fields
from backend.settings import Settings
from backend.snapshot import Content
from backend.tally import ERRORS, tally
from ml.vectors import VectorStore

log = logging.getLogger(__name__)

# seconds a worker that could not do a shard leaves the others to workers that can
REST = 5.0


class Embeds(Protocol):
    """What doing a shard takes; `backend.refresh.Refresher` has it."""

    def parts(self, project_id: int, backbone: str | None) -> EmbeddingParts: ...


class WrongEmbedder(RuntimeError):
    """This worker's vectors would not fit to those of the others."""


class ShardWorker:
    """Does shards of other workers' refreshes.

    Parameters
    ----------
    settings : Settings
    connection : Redis
    name : str
        The worker's.
    parts : Embeds
        Asked for when the first shard comes: loading a backbone takes seconds.
    stopping : Event
        Set when the worker is to end.
    """

    def __init__(
        self, settings: Settings, connection: Redis, name: str, parts: Embeds, stopping: threading.Event
    ) -> None:
        self.settings = settings
        self.connection = connection
        self.name = name
        self._parts = parts
        self._stopping = stopping
        self._seal = Seal(settings)

    def embed(self, sealed: str) -> dict[str, Any]:
        """Embed the images of a shard, and answer; the RQ job.

        What is done when something ends it early is answered all the same, and the rest is left to the refresh.

        Raises
        ------
        Forged
            If it is not from a worker with the same settings.
        Malformed
            If it is not a shard.
        Exception
            Whatever kept this worker from doing all of it.
        """
        try:
            shard = Shard.from_json(self._seal.take_off("shard", str(sealed)))
        except (Forged, Malformed) as error:
            log.error("%s", error)
            self._stopping.wait(REST)
            raise
        said = {"project": shard.project, "shard": shard.number}
        if not self._wanted(shard):
            return {**said, "outcome": "nobody waits"}
        lease = Lease(
            self.connection,
            shard_lease(shard.run, shard.number),
            self.name,
            self.settings.lease_seconds,
        )
        if not lease.acquire():
            return {**said, "outcome": "busy"}
        with log_fields(project=shard.project, job=f"{shard.run[:8]}-{shard.number}"), lease.kept():
            self.connection.sadd(begun_key(shard.run), str(shard.number))
            self.connection.expire(begun_key(shard.run), TTL)
            done = self._do(shard)
        return {**said, "outcome": "embedded", "images": done}

    def _wanted(self, shard: Shard) -> bool:
        run = self.connection.get(run_key(shard.project))
        return run == shard.run.encode() and is_leased(self.connection, project_lease(shard.project))

    def _do(self, shard: Shard) -> int:
        began = time.monotonic()
        batch = _Batch(shard.items, self._stopping)
        why, problem = "", None
        with tally() as counts:
            try:
                self._embed(shard, batch)
            except Stopped:
                why = "the worker is ending"
            except Exception as error:  # a timeout of RQ as well: what is done is kept
                why, problem = f"{type(error).__name__}: {error}", error
        known = {name: values for name, values in counts.items() if name == ERRORS}
        self._answer(shard, Answer(shard.run, shard.number, self.name, batch.found(), why, known))
        seconds = time.monotonic() - began
        log.log(
            logging.ERROR if problem else logging.INFO,
            "project %d: shard %d for another worker's refresh: %d of %d images in %.1f s%s",
            *(shard.project, shard.number, len(batch.outcomes), len(shard.items), seconds),
            f", given up: {why}" if why else "",
        )
        if problem is not None:
            self._stopping.wait(REST)
            raise problem
        return len(batch.outcomes)

    def _embed(self, shard: Shard, batch: _Batch) -> None:
        parts = self._parts.parts(shard.project, shard.backbone)
        stage = parts.stage
        if stage.embedder.fingerprint != shard.fingerprint:
            raise WrongEmbedder(
                f"the embedder here is {stage.embedder.fingerprint}, the refresh needs {shard.fingerprint}: "
                "give all workers the same EMBEDDER, weights and kind of device, or `--queue refresh`"
            )
        try:
            stage.run(shard.project, [shard.items], batch.note)
        finally:
            batch.store(parts.vectors)

    def _answer(self, shard: Shard, answer: Answer) -> None:
        if not self._wanted(shard):  # nobody would take it away
            return
        key = answers_key(shard.run)
        with self.connection.pipeline() as pipe:
            pipe.rpush(key, self._seal.put("answer", answer.to_json()))
            pipe.expire(key, TTL)
            pipe.execute()


class _Batch:
    """What became of a shard's images so far."""

    def __init__(self, items: Sequence[Item], stopping: threading.Event) -> None:
        self.outcomes: dict[str, Content] = {}
        self._items = items
        self._stopping = stopping
        self._vectors: dict[str, np.ndarray] = {}

    def note(self, items: Sequence[Item], content: Content, vector: np.ndarray | None) -> None:
        """Take the outcome of images with the same content."""
        if content.key and vector is not None:
            self._vectors[content.key] = vector
        self.outcomes.update({uri: content for _, uri in items})
        if self._stopping.is_set():
            raise Stopped

    def store(self, vectors: VectorStore) -> None:
        """Put the vectors where the refresh finds them; must come before the answer."""
        if self._vectors:
            vectors.put(list(self._vectors), np.stack(list(self._vectors.values())))

    def found(self) -> tuple[Found, ...]:
        """Return the outcomes by the images' place in the shard."""
        known = ((index, self.outcomes.get(uri)) for index, (_, uri) in enumerate(self._items))
        return tuple(Found(index, c.key, c.error, c.measures) for index, c in known if c is not None)
