"""A refresh's embedding room and other workers beside it, on one Redis and one folder of vectors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rq.exceptions import NoSuchJobError
from rq.utils import as_text

from backend.embedding import Embedded, EmbeddingRoom
from backend.embedding.engines import Engine
from backend.embedding.parts import EmbeddingParts
from backend.embedding.shards import ShardsEngine
from backend.embedding.stage import EmbeddingStage
from backend.jobs.distributed.jobs import SERIALIZER, LineupJob, queue
from backend.jobs.distributed.lease import Lease, project_lease
from backend.jobs.distributed.link import link
from backend.jobs.distributed.shard_worker import ShardWorker
from backend.settings import Settings
from backend.snapshot import SnapshotStore
from ml.images import ImageLimits
from ml.vectors import VectorStore
from tests.backend.embedding.files import Counting, Files

PROJECT = 7
LIMITS = ImageLimits(max_bytes=10_000, max_pixels=10_000)


@dataclass
class Parts:
    """What a worker embeds with."""

    files: Files
    stage: EmbeddingStage
    vectors: VectorStore
    asked: list[str | None] = field(default_factory=list)

    def parts(self, project_id: int, backbone: str | None) -> EmbeddingParts:
        assert project_id == PROJECT
        self.asked.append(backbone)
        return EmbeddingParts(self.stage, self.vectors)


def make_parts(folder: Path, fingerprint: str | None = None) -> Parts:
    """Return a worker's parts; their vectors go below ``folder``."""
    files, embedder = Files(), Counting(threads=1)
    embedder.fingerprint = fingerprint or embedder.fingerprint
    stage = EmbeddingStage(embedder, files, LIMITS)  # type: ignore[arg-type]
    return Parts(files, stage, VectorStore(folder / "vectors", embedder.fingerprint, embedder.dim))


@dataclass
class Helper:
    """Another worker, as a thread that takes shards from the queue until `end`."""

    settings: Settings
    parts: Parts
    name: str = "helper"
    stopping: threading.Event = field(default_factory=threading.Event)
    outcomes: list[str] = field(default_factory=list)
    # called with the worker instead of its job
    instead: Callable[[ShardWorker, str], object] | None = None

    def __post_init__(self) -> None:
        self.connection = link(self.settings, 5.0)
        self.worker = ShardWorker(self.settings, self.connection, self.name, self.parts, self.stopping)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self) -> None:
        while not self._ending.is_set():
            self.take_one() or self._ending.wait(0.005)

    def take_one(self) -> bool:
        """Take a shard from the queue and do it, as RQ would; return whether there was one."""
        job_id = self.connection.lpop(queue(self.connection, "embed").key)
        if job_id is None:
            return False
        try:
            job = LineupJob.fetch(as_text(job_id), self.connection, SERIALIZER)
        except NoSuchJobError:
            return True
        try:
            outcome = (self.instead or ShardWorker.embed)(self.worker, *job.args)
            self.outcomes.append(outcome["outcome"])
        except Exception as error:
            self.outcomes.append(type(error).__name__)
        return True

    def __enter__(self) -> Helper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


@dataclass
class Refresh:
    """The refreshing worker's side."""

    settings: Settings
    folder: Path
    lease_seconds: float = 30.0

    def __post_init__(self) -> None:
        self.parts = make_parts(self.folder)
        self.store = SnapshotStore(self.folder / "snapshot.sqlite")
        self.engine: Engine = ShardsEngine(self.settings, share_from=64, size=32)
        self.reports: list[tuple[int, int]] = []
        self.during: Callable[[], object] = lambda: None

    @property
    def room(self) -> EmbeddingRoom:
        """What a refresh embeds with."""
        return EmbeddingRoom(self.store, self.parts.vectors, self.parts.stage, self.engine)

    def embed(self, uris: list[str]) -> Embedded:
        """Embed images as a refresh that holds the project's lease."""
        lease = Lease(link(self.settings, 5.0), project_lease(PROJECT), "refresh", self.lease_seconds)
        assert lease.acquire()

        def progress(step: str, done: int, total: int) -> None:
            self.reports.append((done, total))
            lease.check()
            self.during()

        try:
            return self.room.embed(PROJECT, list(range(1, len(uris) + 1)), uris, progress)
        finally:
            lease.release()
