"""One project's images embedded by two worker processes, one of which is killed in the middle of its shard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from redis import Redis

from backend.embedding import EmbeddingRoom
from backend.embedding.engines import SHARE_FROM
from backend.embedding.stage import EmbeddingStage
from backend.jobs.distributed.shards import SHARD_SIZE
from backend.labelstudio.fetch import ImageFetchError
from backend.snapshot import SnapshotStore
from backend.status import LastRefresh, read_status
from backend.vectors import open_vectors
from demo.digits import LABEL_CONFIG
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from ml.embedders import make_embedder
from ml.images import ImageLimits
from ml.vectors import VectorStore
from tests.e2e.conftest import QUICK
from tests.e2e.workers import WorkerProcess, secrets_in, wait_for
from tests.redis_server import PASSWORD, RedisServer

IMAGES = 2400
_SHARD = re.compile(r"project (\d+): shard (\d+) for another worker's refresh: (\d+) of (\d+) images")


@dataclass
class Shared:
    """A project that two workers have embedded, and what became of them."""

    server: LineupServer
    workers: list[WorkerProcess]
    redis: Redis
    project: int
    uris: list[str]
    paths: dict[str, Path]
    killed: WorkerProcess | None = None
    last: LastRefresh | None = None

    def done(self, worker: WorkerProcess) -> int:
        """Return how many images a worker has embedded for the other one's refresh."""
        return sum(int(found[3]) for found in _SHARD.finditer(worker.log))

    def at_a_shard(self, worker: WorkerProcess) -> bool:
        """Whether a worker is in the middle of a shard."""
        owners = [self.redis.get(key) or b"" for key in self.redis.scan_iter("lineup:lease:shard:*")]
        return any(f"-{worker.pid}-".encode() in owner for owner in owners)


class FromDisk:
    """Stands in for the fetcher: the same files without Label Studio."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths

    def fetch(self, uri: str, task_id: int, project_id: int) -> bytes:
        try:
            return self.paths[uri].read_bytes()
        except FileNotFoundError as error:
            raise ImageFetchError(task_id, uri, "404") from error


def write_images(folder: Path) -> list[Path]:
    """Write small images, no two of them alike, then one that is broken and the path of one that is missing."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    paths = [folder / f"{number:05d}.png" for number in range(IMAGES)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path, compress_level=1)
    broken, missing = folder / "broken.png", folder / "missing.png"
    broken.write_bytes(b"no image")
    return [*paths, broken, missing]


@pytest.fixture(scope="module")
def shared(
    label_studio: LabelStudioServer, shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    shared_redis.client().flushall()
    folder = label_studio.files_dir / "many"
    paths = write_images(folder)
    project = label_studio.create_project("many images", LABEL_CONFIG)
    label_studio.serve_folder(project, folder)
    uris = [label_studio.file_uri(path) for path in paths]
    label_studio.import_tasks(project, [{"data": {"image": uri}} for uri in uris])
    more = {**QUICK, "redis_url": shared_redis.url, "lease_seconds": 2.0, "queue": "off"}
    models = tmp_path_factory.mktemp("shards") / "models"
    with LineupServer(label_studio, models, **more) as server:
        workers = [WorkerProcess(server, name, ("refresh", "embed")) for name in ("one", "two")]
        found = Shared(
            server, workers, shared_redis.client(), project, uris, dict(zip(uris, paths, strict=True))
        )
        try:
            for worker in workers:
                worker.start()
            server.connect(project)
            embed_with_a_death(found)
            yield found
        finally:
            for worker in workers:
                worker.stop()


def embed_with_a_death(shared: Shared) -> None:
    """Kill the worker that helps in the middle of its second shard, and wait until all is done."""
    folder = shared.server.settings.project_dir(shared.project)
    wait_for(lambda: read_status(folder).step == "embed", "no refresh embeds")
    pid = read_status(folder).worker_pid
    helper = next(worker for worker in shared.workers if worker.pid != pid)
    wait_for(lambda: shared.done(helper) and shared.at_a_shard(helper), "the other worker does not help")
    helper.kill()
    shared.killed = helper
    shared.last = shared.server.wait(shared.project)


def test_both_workers_did_their_part(shared: Shared) -> None:
    assert shared.killed is not None
    assert shared.last is not None
    assert shared.last.tasks == IMAGES + 2 > SHARE_FROM
    assert SHARD_SIZE <= shared.done(shared.killed) < IMAGES
    other = next(worker for worker in shared.workers if worker is not shared.killed)
    assert "a worker ended in the middle of a shard" in other.log
    assert "images are taken one at a time" in other.log


def test_the_state_is_that_of_one_worker_to_the_bit(shared: Shared, tmp_path: Path) -> None:
    embedder = make_embedder("pixels", threads=1)
    stage = EmbeddingStage(embedder, FromDisk(shared.paths), ImageLimits())  # type: ignore[arg-type]
    local = SnapshotStore(tmp_path / "snapshot.sqlite")
    vectors = VectorStore(tmp_path / "vectors", embedder.fingerprint, embedder.dim)
    room = EmbeddingRoom(local, vectors, stage)
    room.embed(shared.project, list(range(len(shared.uris))), shared.uris, lambda *_: None)

    def known(store: SnapshotStore) -> dict[str, Any]:
        return {uri: (c.key, c.error is None, c.measures) for uri, c in store.contents().items()}

    expected = known(local)
    assert known(shared.server.store(shared.project)) == expected
    assert sum(key is None for key, _, _ in expected.values()) == 2
    keys = [key for key, _, _ in expected.values() if key]
    theirs = open_vectors(shared.server.settings, embedder.fingerprint, embedder.dim)
    assert len(theirs) == len(vectors) == IMAGES
    np.testing.assert_array_equal(theirs.get(keys)[0], vectors.get(keys)[0])


def test_no_image_counts_twice(shared: Shared) -> None:
    status = read_status(shared.server.settings.project_dir(shared.project))
    assert status.counts["images"] == {"embedded": IMAGES, "broken": 2}


def test_nothing_is_left_in_redis_and_no_secret_in_a_log(shared: Shared) -> None:
    assert not list(shared.redis.scan_iter("lineup:embed:*"))
    assert shared.redis.llen("rq:queue:lineup-embed") == 0
    logs = [worker.log_path for worker in shared.workers] + [shared.server.log_path]
    assert secrets_in(logs, [PASSWORD, shared.server.label_studio.token]) == []
