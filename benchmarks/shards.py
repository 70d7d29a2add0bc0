"""What it costs to share the embedding of new images, and what it brings: shards over Redis, and Ray.

``python -m benchmarks shards [--weights FILE]``; needs redis-server and, for the row of Ray, requirements-ray.txt; no
data. Made-up photographs come over HTTP from a process of their own. The same images are embedded by the local engine,
by the engine of shards alone, with a second `lineup worker --queue embed` beside it, and on a Ray cluster of this
machine, in turns within one run. All ways share this machine's cores, so more workers cannot be faster here: what can
be seen is what sharing costs.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import io
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from backend.embedding import EmbeddingRoom
from backend.embedding.engines import Engine
from backend.embedding.local import LocalEngine
from backend.embedding.ray_data import RayEngine
from backend.embedding.shards import ShardsEngine
from backend.embedding.stage import EmbeddingStage
from backend.jobs.distributed.lease import Lease, project_lease
from backend.jobs.distributed.link import link
from backend.jobs.distributed.shards import SHARD_SIZE
from backend.jobs.embedded import to_environment
from backend.refresh import Refresher
from backend.settings import Settings
from backend.snapshot import Content, SnapshotStore
from benchmarks.data import MODEL, Missing
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, target_sheet
from demo.label_studio import free_port
from tests.redis_server import RedisServer

PROJECT = 7
SIDE = 128
WAYS = {
    "local": "local",
    "alone": "shards, one worker",
    "two": "shards, two workers",
    "ray": "Ray on this machine",
}


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--shared", type=int, default=4096, help="images of a turn")
    parser.add_argument("--turns", type=int, default=3)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure with the pixels embedder, and with a network where its weights are given.

    Raises
    ------
    Missing
        If redis-server is not installed.
    """
    if not RedisServer.installed():
        raise Missing("redis-server is not installed")
    embedders = {"pixels": "pixels"}
    if options.weights:
        embedders[MODEL] = f"timm:{MODEL}@{options.weights.resolve()}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_images(folder / "images", options.shared)
        (folder / "redis").mkdir()
        with files_over_http(folder) as url, RedisServer(folder / "redis", fsync="everysec") as redis:
            speed = {}
            for title, embedder in embedders.items():
                settings = Settings(
                    _env_file=None,
                    label_studio_url=url,
                    label_studio_api_key="0" * 40,
                    model_dir=folder / title,
                    redis_url=redis.url,
                    embedder=embedder,
                )
                speed[title] = measure(settings, paths, options.turns, title)
            return {
                "images": options.shared,
                "shard": SHARD_SIZE,
                "overhead_ms": overhead(settings),
                "speed": speed,
            }


@dataclass
class Turns:
    """One way's turns: seconds for all images, and until the first of them."""

    seconds: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


def measure(settings: Settings, paths: Sequence[str], turns: int, title: str) -> dict[str, Any]:
    """Embed the images in every way, in turns."""
    refresher = Refresher(settings)
    engines: dict[str, Engine] = {"local": LocalEngine(), "alone": ShardsEngine(settings, share_from=1)}
    engines["two"] = engines["alone"]
    if importlib.util.find_spec("ray"):
        engines["ray"] = RayEngine(settings, share_from=1)
    timed = {way: Turns() for way in engines}
    with project_held(settings):
        embed(refresher, LocalEngine(), paths[:256], f"{title}-warm")
        for turn in track(range(turns), title, console=console):
            for way, engine in engines.items():
                place = f"{title}-{turn}-{way}"
                if way == "two":
                    with second_worker(settings):
                        # its backbone is loaded, too, before anything is timed
                        warm = ShardsEngine(settings, share_from=1, size=32)
                        embed(refresher, warm, paths[:1024], f"{place}-warm")
                        seconds, first = embed(refresher, engine, paths, place)
                else:
                    seconds, first = embed(refresher, engine, paths, place)
                timed[way].seconds.append(seconds)
                timed[way].first.append(first)
    local = np.array(timed["local"].seconds)
    return {
        way: {
            "images_per_s": float(np.median(len(paths) / np.array(one.seconds))),
            "of_local": float(np.median(local / np.array(one.seconds))),
            "first_s": float(np.median(one.first)),
            "after_first_of_local": float(
                np.median(
                    (local - np.array(timed["local"].first)) / (np.array(one.seconds) - np.array(one.first))
                )
            ),
        }
        for way, one in timed.items()
    }


def embed(refresher: Refresher, engine: Engine, paths: Sequence[str], place: str) -> tuple[float, float]:
    """Embed images that nobody knows yet; return the seconds it took, and those until the first was done."""
    store = SnapshotStore(refresher.settings.model_dir / place / "snapshot.sqlite")
    began = time.perf_counter()
    first = 0.0

    def progress(step: str, done: int, total: int) -> None:
        nonlocal first
        if done and not first:
            first = time.perf_counter() - began

    # vectors are shared, as they are by all workers; that they are there already saves no fetching and no decoding
    room = EmbeddingRoom(store, refresher.vectors, refresher.stage, engine)
    found = room.embed(PROJECT, list(range(1, len(paths) + 1)), list(paths), progress)
    if not found.ok.all():
        raise RuntimeError(next(error for error in found.errors if error))
    return time.perf_counter() - began, first


@dataclass(frozen=True)
class NothingToDo(EmbeddingStage):
    """A stage that takes no time, and notes how long it waits for the next shard."""

    waited: list[float] = field(default_factory=list)

    def run(
        self, project_id: int, lots: Any, note: Callable[..., None], *, ready: Any = None, kept: Any = ()
    ) -> None:
        """Tell of every image at once that it has no content."""
        content = Content(None, "made up", time.time(), None)
        lots, asked = iter(lots), time.perf_counter()
        while (lot := next(lots, None)) is not None:
            self.waited.append(time.perf_counter() - asked)
            for item in lot:
                note([item], content, None)
            asked = time.perf_counter()


def overhead(settings: Settings, shards: int = 200) -> float:
    """Return the milliseconds a shard costs the refreshing worker beyond the work itself: to offer, take back, note."""
    logging.getLogger("backend.embedding.intake").setLevel(logging.CRITICAL)
    refresher = Refresher(settings.model_copy(update={"embedder": "pixels"}))
    stage = NothingToDo(refresher.embedder, refresher.fetcher, settings.image_limits)
    uris = [f"/images/{number}.jpg" for number in range(shards * SHARD_SIZE)]
    with project_held(settings):
        store = SnapshotStore(settings.model_dir / "overhead" / "snapshot.sqlite")
        room = EmbeddingRoom(store, refresher.vectors, stage, ShardsEngine(settings))
        room.embed(PROJECT, list(range(1, len(uris) + 1)), uris, lambda *_: None)
    return float(1000 * np.median(stage.waited[1:]))


def make_images(folder: Path, count: int) -> list[str]:
    """Write made-up photographs, all different, and return their paths on the server."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    for number, pixels in enumerate(coarse):
        buffer = io.BytesIO()
        image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(buffer, "JPEG", quality=85)
        (folder / f"{number}.jpg").write_bytes(buffer.getvalue())
    return [f"/images/{number}.jpg" for number in range(count)]


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


def _serve(folder: str, port: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Files, directory=folder))
    server.serve_forever()


@contextmanager
def files_over_http(folder: Path) -> Iterator[str]:
    """Serve a folder from a process of its own, as Label Studio serves files."""
    port = free_port()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(str(folder), port), daemon=True
    )
    process.start()
    try:
        time.sleep(1.0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()


@contextmanager
def project_held(settings: Settings) -> Iterator[None]:
    """Hold the project's lease, as a refresh does: nobody works for one that does not."""
    lease = Lease(link(settings, 5.0), project_lease(PROJECT), "benchmark", 30)
    if not lease.acquire():
        raise RuntimeError("somebody else holds the project")
    with lease.kept():
        yield


@contextmanager
def second_worker(settings: Settings) -> Iterator[None]:
    """Run a worker that does nothing but shards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "worker", "--queue", "embed"],
        env=os.environ | to_environment(settings) | {"LOG_LEVEL": "WARNING"},
    )
    try:
        deadline = time.monotonic() + 60
        while not link(settings, 5.0).exists("lineup:workers"):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("the second worker did not start")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    found = [
        at_least(f"{name}: one worker with shards, of local", one["alone"]["of_local"], 0.95, "{:.3f}")
        for name, one in figures["speed"].items()
    ]
    found.append(
        at_most("what a shard costs the refreshing worker, ms", figures["overhead_ms"], 30, "{:.1f}")
    )
    return found


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    rows = [
        (
            name,
            WAYS[way],
            f"{one['images_per_s']:,.0f}",
            f"{one['of_local']:.3f}",
            f"{one['first_s']:.1f}",
            f"{one['after_first_of_local']:.3f}",
        )
        for name, ways in figures["speed"].items()
        for way, one in ways.items()
    ]
    columns = ("embedder", "engine", "images a second", "of local", "first after s", "from then on, of local")
    return {
        "targets": target_sheet("shards", targets(figures)),
        "speed": Sheet(
            f"{figures['images']:,} images of {SIDE} px, shards of {figures['shard']}", columns, rows
        ),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw images a second of each way, as a share of the local engine's."""
    with drawing(path, size=(7, 2.6)) as (axes,):
        speeds = figures["speed"]
        for index, (name, ways) in enumerate(speeds.items()):
            places = np.arange(len(ways)) + 0.8 * (index + 0.5) / len(speeds) - 0.4
            bars = axes.barh(
                places, [one["of_local"] for one in ways.values()], 0.8 / len(speeds), label=name
            )
            axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        names = [WAYS[way] for way in next(iter(speeds.values()))]
        axes.set_yticks(np.arange(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel("images a second, of the local engine's")
