"""The engine of `EMBED_ENGINE=ray`: a pool of Ray actors, each with the embedder, streams images to vectors.

Ray is imported here alone, and only where the setting asks for it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.embedding.engines import SHARE_FROM, divide
from backend.embedding.intake import Intake
from backend.embedding.stage import EmbeddingStage, Item
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch import ImageFetcher
from backend.logs import configure
from backend.settings import Settings
from backend.snapshot import Content
from ml.embedders import make_embedder
from ml.embedders.threads import usable_cpus

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

# what requirements-ray.txt brings
REQUIRED = ("ray", "pyarrow")
# seconds to wait for a cluster to take a connection
PATIENCE = 5.0
# images an actor takes at a time: what is lost with it, and what comes back at once
LOT = 256
# images a Ray dataset: its list of URIs is held in the cluster's memory
ROWS = 100_000
# of a cluster of one's own, for lots on their way
OBJECT_STORE_BYTES = 256_000_000
# lots that may be lost with their actors before the cluster itself counts as broken
LOST_LOTS = 16
# lots an actor has before it: one is fetched for while the other's images are embedded, and few are lost with it
IN_FLIGHT = 2


class RayUnavailable(RuntimeError):
    """Ray is not installed, or its cluster does not do the work; the message says what to do."""


class RayEngine:
    """Embeds on a Ray cluster; vectors come back to this process, which stores them.

    What an actor leaves undone is done here; of a lot whose actor died twice one image at a time, because any of them
    may be what it died of.

    Parameters
    ----------
    settings : Settings
    share_from : int
        Fewer new images are not worth starting it.
    lot : int
        Images an actor takes at a time.

    Raises
    ------
    RayUnavailable
        If Ray is not installed.
    """

    def __init__(self, settings: Settings, *, share_from: int = SHARE_FROM, lot: int = LOT) -> None:
        require_ray()
        self.settings = settings
        self.share_from = share_from
        self.lot = lot

    def embed(self, intake: Intake, todo: Sequence[Item]) -> None:
        """Have images embedded by the actors of a cluster."""
        own, shared = divide(intake, todo, self.share_from)
        if intake.stage.backbone is not None:  # the nodes of a cluster have the setting's
            own, shared = list(todo), []
        if own:
            intake.here([own])
        if not shared:
            return
        undone: list[Item] = []
        with _cluster(self.settings):
            for start in range(0, len(shared), ROWS):
                undone += self._pass(intake, shared[start : start + ROWS])
        intake.here([intake.left(undone)])
        while lost := intake.left(shared):
            intake.alone(lost)

    def _pass(self, intake: Intake, items: Sequence[Item]) -> list[Item]:
        """Take one dataset through the cluster; return what its actors gave up."""
        import ray

        undone: list[Item] = []
        reasons: list[str] = []
        nodes: set[str] = set()
        try:
            for table in self._stream(intake, items):
                for lot, node, why in _take(intake, items, table):
                    nodes.add(node)
                    if why:
                        reasons.append(why)
                        undone += intake.left(items[lot * self.lot : (lot + 1) * self.lot])
        except ray.exceptions.RayError as error:
            raise RayUnavailable(
                f"the Ray cluster did not do the work: {_last_line(error)}. Its nodes need Lineup installed, the same "
                "EMBEDDER with its weights, and the way to Label Studio"
            ) from error
        log.info("project %d: %d images on %d nodes of Ray", intake.project_id, len(items), len(nodes))
        if undone:
            log.warning(
                "project %d: Ray left %d images undone, they are done here: %s",
                *(intake.project_id, len(undone), reasons[0]),
            )
        return undone

    def _stream(self, intake: Intake, items: Sequence[Item]) -> Iterator[pa.Table]:
        import ray.data

        # the level it gets when it is imported tells of every step
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = LOST_LOTS
        embedder = intake.stage.embedder
        actors, threads, resources = _pool(embedder.device)
        lots = [_to_table(items, start, self.lot) for start in range(0, len(items), self.lot)]
        with warnings.catch_warnings():
            # there is no other name yet for what keeps a deadly image from being tried for ever
            warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
            dataset = ray.data.from_arrow(lots).map_batches(
                Embedding,
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, initial_size=actors, max_size=actors, max_tasks_in_flight_per_actor=IN_FLIGHT
                ),
                fn_constructor_args=(self.settings, intake.project_id, embedder.fingerprint, threads),
                # a machine may go away once; what takes its actor with it twice is not tried there again
                max_restarts=-1,
                max_task_retries=1,
                **resources,
            )
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)


class Embedding:
    """An actor: the embedding stage on some machine of the cluster.

    Parameters
    ----------
    settings : Settings
    project_id : int
    fingerprint : str
        What its vectors must be of.
    threads : int or None
        Cores it has; None: all.

    Raises
    ------
    RayUnavailable
        If its vectors would not fit to those of the refresh.
    """

    def __init__(self, settings: Settings, project_id: int, fingerprint: str, threads: int | None) -> None:
        import ray

        configure(settings, "ray")
        embedder = make_embedder(
            settings.embedder, allow_noncommercial=settings.allow_noncommercial, threads=threads
        )
        if embedder.fingerprint != fingerprint:
            raise RayUnavailable(
                f"a node's embedder is {embedder.fingerprint}, the refresh needs {fingerprint}: give all the same "
                "EMBEDDER, weights and kind of device"
            )
        fetcher = ImageFetcher(
            LabelStudioClient(settings.label_studio_url, settings.api_key),
            allow_hosts=settings.allow_hosts,
            max_bytes=settings.max_image_bytes,
        )
        self.stage = EmbeddingStage(embedder, fetcher, settings.image_limits)
        self.project_id = project_id
        self.node = ray.get_runtime_context().get_node_id()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Embed a lot; return a row for each image that is done, and one without a number that says why not all are."""
        items = list(zip(table.column("task").to_pylist(), table.column("uri").to_pylist(), strict=True))
        rows = dict(zip(items, table.column("row").to_pylist(), strict=True))
        found: list[dict[str, Any]] = []

        def note(items: Sequence[Item], content: Content, vector: np.ndarray | None) -> None:
            packed = None if vector is None else np.asarray(vector, dtype="<f4").tobytes()
            for item in items:
                outcome = {"key": content.key, "error": content.error, "measures": content.measures}
                found.append({"row": rows[item], "vector": packed, **outcome})

        why = ""
        try:
            self.stage.run(self.project_id, [items], note)
        except Exception as error:  # whatever it is, the refresh meets it again where it can be told
            why = f"{type(error).__name__}: {error}"
        return _to_answer(table.column("lot")[0].as_py(), self.node, why, found)


def _to_table(items: Sequence[Item], start: int, size: int) -> pa.Table:
    import pyarrow as pa

    part = items[start : start + size]
    return pa.table(
        {
            "lot": [start // size] * len(part),
            "row": list(range(start, start + len(part))),
            "task": [task for task, _ in part],
            "uri": [uri for _, uri in part],
        }
    )


def _to_answer(lot: int, node: str, why: str, found: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("lot", pa.int64()),
            ("node", pa.string()),
            ("why", pa.string()),
            ("row", pa.int64()),
            ("key", pa.string()),
            ("error", pa.string()),
            ("measures", pa.binary()),
            ("vector", pa.binary()),
        ]
    )
    rows = [{"lot": lot, "node": node, "why": why}, *({"lot": lot, **row} for row in found)]
    return pa.Table.from_pylist(rows, schema)


def _take(intake: Intake, items: Sequence[Item], table: pa.Table) -> list[tuple[int, str, str]]:
    """Take what actors found; return the lots' numbers, where they were done, and why something is left undone."""
    now = time.time()
    lots = []
    for one in table.to_pylist():
        if one["row"] is None:
            lots.append((one["lot"], one["node"], one["why"]))
            continue
        vector = None if one["vector"] is None else np.frombuffer(one["vector"], dtype="<f4")
        content = Content(one["key"], one["error"], now, one["measures"])
        intake.note([items[one["row"]]], content, vector)
    return lots


def _pool(device: str) -> tuple[int, int | None, dict[str, float]]:
    """Return how many actors the cluster has room for, and the threads and resources of each."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if device == "cuda":
        return max(1, int(sum(node.get("GPU", 0) for node in nodes))), None, {"num_gpus": 1}
    cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cores:
        raise RayUnavailable("the Ray cluster has no node with a processor to offer: see `ray status`")
    # an actor as large as the smallest node: the fewer, the fewer copies of the network in memory
    each = min(cores)
    return sum(count // each for count in cores), each, {"num_cpus": each}


def require_ray() -> None:
    """Raise `RayUnavailable` where Ray is not installed."""
    if any(importlib.util.find_spec(name) is None for name in REQUIRED):
        raise RayUnavailable(
            "EMBED_ENGINE=ray needs Ray, which is not installed: pip install -r requirements-ray.txt"
        )


@contextmanager
def _cluster(settings: Settings) -> Iterator[None]:
    """Be connected to a cluster; one that was begun for this ends with it."""
    # Ray tells its makers about its use unless it is told not to
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    logging.getLogger("ray").setLevel(logging.WARNING)
    if ray.is_initialized():  # its owner ends it
        yield
        return
    own: dict[str, Any] = {
        "num_cpus": usable_cpus(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    knock(settings.ray_address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(
            settings.ray_address or "local",
            log_to_driver=False,
            configure_logging=False,
            **({} if settings.ray_address else own),
        )
    except (OSError, ValueError, RuntimeError) as error:
        where = settings.ray_address or "on this machine"
        raise RayUnavailable(f"no Ray cluster {where}: {_last_line(error)}. Is RAY_ADDRESS right?") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray has put its own in their place
                signal.signal(number, handler)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            ray.shutdown()


def knock(address: str) -> None:
    """Raise `RayUnavailable` where nothing listens at the address: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address:
        return
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, ValueError) as error:
        raise RayUnavailable(f"no Ray cluster at {address}: {error}. Is RAY_ADDRESS right?") from error


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
