"""`EMBED_ENGINE=ray` on a real cluster of two nodes, each with its own processes."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.embedding import EmbeddingRoom, ray_data
from backend.embedding.engines import make_engine
from backend.embedding.local import LocalEngine
from backend.embedding.ray_data import RayEngine, RayUnavailable
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.refresh import Refresher
from backend.settings import Settings
from backend.snapshot import SnapshotStore
from demo.digits import LABEL_CONFIG, render
from demo.label_studio import LabelStudioServer
from tests.backend.trained import make_settings
from tests.conftest import skip_unless_ci

DEADLY = "/data/upload/7/13.png"
URIS = [f"/data/upload/7/{number}.png" for number in range(400)]
PROJECT = 7


@dataclass
class Images:
    """Stands in for Label Studio's files: small images.

    Attributes
    ----------
    deadly : bool
        Whether one of them kills whatever else than this process asks for it.
    down : bool
        Whether it answers 503.
    together : int
        How many processes must have asked before any is answered: a fast one would do all.
    asked : Counter
        How often each path was asked for.
    """

    deadly: bool = False
    down: bool = False
    together: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    pids: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        images = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                images.asked[self.path] += 1
                images.wait_for_all(self.client_address[1])
                if images.deadly and self.path == DEADLY:
                    pid = process_with_port(self.client_address[1])
                    if pid != os.getpid():
                        os.kill(pid, signal.SIGKILL)
                        return
                body = b"no image" if "broken" in self.path else picture(self.path)
                self.send_response(503 if images.down else 404 if "missing" in self.path else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def wait_for_all(self, port: int) -> None:
        """Wait until enough processes have asked."""
        if len(self.pids) < self.together:
            self.pids.add(process_with_port(port))
        deadline = time.monotonic() + 60
        while len(self.pids) < self.together and time.monotonic() < deadline:
            time.sleep(0.05)


def picture(path: str) -> bytes:
    number = int("".join(filter(str.isdigit, path)) or 0)
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def process_with_port(port: int) -> int:
    """Return the process whose connection on loopback has this port at its own end."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (inode,) = [row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[9] != "0"]
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == f"socket:[{inode}]":
                return int(link.parts[2])
        except OSError:  # that process or connection has just ended
            continue
    raise AssertionError(f"nobody has port {port}")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two nodes, with a processor each."""
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        skip_unless_ci("Ray is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    server = Images()
    yield server
    server.server.shutdown()


@pytest.fixture(autouse=True)
def fresh(images: Images) -> None:
    images.deadly = images.down = False
    images.together = 0
    images.asked.clear()


@dataclass
class Bench:
    """A refresh's embedding in a folder of its own."""

    settings: Settings

    def __post_init__(self) -> None:
        self.refresher = Refresher(self.settings)
        self.store = SnapshotStore(self.settings.model_dir / "snapshot.sqlite")
        self.reports: list[int] = []

    def embed(self, uris: list[str], engine: Any, *, stop_at: int | None = None) -> Any:
        room = EmbeddingRoom(self.store, self.refresher.vectors, self.refresher.stage, engine)

        def progress(step: str, done: int, total: int) -> None:
            self.reports.append(done)
            if stop_at is not None and done >= stop_at:
                raise KeyboardInterrupt

        return room.embed(PROJECT, list(range(1, len(uris) + 1)), uris, progress)


@pytest.fixture
def bench(tmp_path: Path, images: Images, address: str) -> Bench:
    return Bench(
        make_settings(
            tmp_path, label_studio_url=images.url, ray_address=address, embed_engine="ray", embedder="pixels"
        )
    )


@pytest.fixture
def engine(bench: Bench) -> RayEngine:
    return RayEngine(bench.settings, share_from=64, lot=20)


def assert_same_as_local(bench: Bench, found: Any, uris: list[str], folder: Path) -> None:
    local = Bench(bench.settings.model_copy(update={"model_dir": folder}))
    expected = local.embed(uris, LocalEngine())
    assert found.keys == expected.keys
    assert [bool(error) for error in found.errors] == [bool(error) for error in expected.errors]
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    np.testing.assert_array_equal(found.measures, expected.measures)


def test_both_nodes_embed_and_the_state_is_that_of_one_worker(
    bench: Bench, engine: RayEngine, images: Images, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    images.together = 2
    uris = [*URIS, "/data/upload/7/broken.png", "/data/upload/7/missing.png", f"data:,{'x' * 9}"]
    before = signal.getsignal(signal.SIGTERM)
    found = bench.embed(uris, engine)
    assert int(found.ok.sum()) == len(URIS)
    assert "402 images on 2 nodes of Ray" in caplog.text
    assert signal.getsignal(signal.SIGTERM) is before
    assert sorted(bench.reports) == bench.reports
    assert len(bench.reports) > 10
    assert set(bench.store.contents()) == set(uris)
    assert_same_as_local(bench, found, uris, tmp_path / "local")


def test_it_goes_on_where_it_was_ended(bench: Bench, engine: RayEngine, images: Images) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.embed(URIS, engine, stop_at=96)
    kept = set(bench.store.contents())
    assert 96 <= len(kept) < len(URIS)
    images.asked.clear()
    assert bench.embed(URIS, engine).ok.all()
    assert set(images.asked) == set(URIS) - kept


def test_an_image_that_kills_its_actors_is_done_here_alone(
    bench: Bench, engine: RayEngine, images: Images, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images.deadly = True
    found = bench.embed(URIS[:200], engine)
    assert found.ok.all()
    assert images.asked[DEADLY] > 1
    assert re.search("images are taken one at a time", caplog.text)


def test_a_label_studio_that_is_down_marks_no_image_as_broken(
    bench: Bench, engine: RayEngine, images: Images
) -> None:
    images.down = True
    engine.lot = 80
    with pytest.raises(LabelStudioUnreachable):
        bench.embed(URIS[:80], engine)
    assert bench.store.contents() == {}


def test_another_embedder_on_the_nodes_is_told(bench: Bench, engine: RayEngine) -> None:
    bench.refresher.embedder.fingerprint = "another"
    with pytest.raises(RayUnavailable, match="the refresh needs another"):
        bench.embed(URIS[:80], engine)
    assert bench.store.contents() == {}


def test_images_of_a_real_label_studio(
    bench: Bench, label_studio: LabelStudioServer, tmp_path: Path, address: str
) -> None:
    folder = label_studio.files_dir / "digits"
    paths = render(folder)[:200]
    project = label_studio.create_project("on Ray", LABEL_CONFIG)
    label_studio.serve_folder(project, folder)
    settings = make_settings(
        tmp_path / "real",
        label_studio_url=label_studio.url,
        label_studio_api_key=label_studio.token,
        ray_address=address,
        embedder="pixels",
    )
    uris = [label_studio.file_uri(path) for path in paths]
    found = Bench(settings).embed(uris, RayEngine(settings, share_from=64, lot=20))
    assert found.errors == [None] * 200
    assert len(set(found.keys)) > 190


def test_few_images_start_no_ray(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data, "_cluster", None)
    engine = make_engine(bench.settings)
    assert isinstance(engine, RayEngine)
    assert bench.embed(URIS[:60], engine).ok.all()


def test_a_cluster_of_its_own_tells_nobody_and_ends(bench: Bench, tmp_path: Path, images: Images) -> None:
    """In a process of its own: this one is bound to the other cluster's settings."""
    code = """
import os, sys
from backend.embedding.ray_data import _cluster
from backend.settings import Settings
with _cluster(Settings(_env_file=None)):
    import ray
    from ray._common.usage.usage_lib import usage_stats_enabled
    print(usage_stats_enabled(), repr(ray._private.worker._global_node.webui_url), ray.is_initialized())
print(ray.is_initialized())
"""
    environment: dict[str, str] = {
        key: value for key, value in os.environ.items() if not key.startswith("RAY_")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["False '' True", "False"], done.stdout


def test_a_cluster_that_is_not_there_is_told(bench: Bench, engine: RayEngine) -> None:
    engine.settings = bench.settings.model_copy(update={"ray_address": "127.0.0.1:1"})
    with pytest.raises(RayUnavailable, match="RAY_ADDRESS"):
        bench.embed(URIS[:80], engine)


def test_without_ray_the_setting_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_data, "REQUIRED", ("ray_that_is_not_there",))
    with pytest.raises(RayUnavailable, match=r"pip install -r requirements-ray\.txt"):
        make_engine(make_settings(tmp_path, embed_engine="ray"))


def test_nothing_else_imports_ray(repository: Path) -> None:
    code = """
import sys
import backend.app, backend.cli, backend.jobs.distributed.worker, backend.jobs.worker, backend.newcomers
import backend.embedding.shards, backend.refresh
from backend.embedding.engines import make_engine
from backend.settings import Settings
make_engine(Settings(_env_file=None))
make_engine(Settings(_env_file=None, redis_url="redis://127.0.0.1:1/0"))
print(sorted({"ray", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert done.stdout.strip() == "[]", done.stderr
