"""Fine-tuning on a real Label Studio by a real server: asked for from the shell, by itself, and through Redis."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.finetuning.record import TrainingRecord, read_training
from backend.project import open_backbones
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.backend.finetuning.scene import SMALL, Scene, make_scene
from tests.conftest import skip_unless_ci
from tests.e2e.conftest import QUICK
from tests.e2e.workers import WorkerProcess, wait_for
from tests.redis_server import RedisServer

QUICKER = {**QUICK, "poll_interval": 5.0}


def command(server: LineupServer, *arguments: str) -> subprocess.Popen[str]:
    """Start `lineup` beside a server."""
    return subprocess.Popen(
        [sys.executable, "-m", "backend.cli", *arguments],
        cwd=server.model_dir,
        env=server.environment() | {"COLUMNS": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    """Wait for a command that must succeed; return what it said."""
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def config_file(folder: Path) -> str:
    path = folder / "small.yaml"
    path.write_text(json.dumps(SMALL), encoding="utf-8")  # YAML, too
    return str(path)


def project_on(server: LineupServer, labelled: int = 120) -> Scene:
    scene = make_scene(server.label_studio, server.model_dir, labelled + 30, labelled)
    server.connect(scene.project)
    server.wait(scene.project, labels=labelled)
    return scene


def record_of(server: LineupServer, scene: Scene) -> TrainingRecord:
    return read_training(server.settings, scene.project)


def ended(server: LineupServer, scene: Scene) -> TrainingRecord:
    """Wait for a training; it runs below everything else, and another's tests may keep the machine busy."""
    deadline = time.monotonic() + 300
    while (record := record_of(server, scene)).finished_at is None:
        assert time.monotonic() < deadline, f"the training does not end: {record}"
        time.sleep(0.2)
    return record


def health(server: LineupServer, scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/health", timeout=10, trust_env=False).json()
    return dict(found["projects"][str(scene.project)])


def switched(server: LineupServer, scene: Scene, backbone: str | None) -> bool:
    registry = server.registry(scene.project)
    return registry.manifest(str(registry.published()))["backbone"] == backbone


def test_from_the_shell_and_back(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    with LineupServer(label_studio, tmp_path / "models", **QUICKER) as server:
        scene = project_on(server)
        first = str(server.registry(scene.project).published())
        training = command(
            server, "train", "--project", str(scene.project), "--config", config_file(tmp_path)
        )
        # the loop goes on meanwhile
        wait_for(lambda: record_of(server, scene).step.startswith("training"), "no training begins")
        scene.annotate(121)
        server.wait(scene.project, labels=121)
        assert "held out" in said(training)
        own = record_of(server, scene).backbone
        assert own is not None
        wait_for(lambda: switched(server, scene, own), "no version on the new backbone is published")
        assert health(server, scene)["training"]["state"] == "published"
        assert "published" in said(command(server, "status"))
        output = said(command(server, "rollback", "--project", str(scene.project), first))
        assert first in output
        assert open_backbones(server.settings, scene.project).published() is None
        server.wait(scene.project)
        assert server.registry(scene.project).published() == first
        assert health(server, scene)["embedder"] == "pixels"
        assert "no backbone of its own" in said(
            command(server, "train", "--project", str(scene.project), "--drop")
        )
        refused = command(server, "train", "--project", str(scene.project), "photos")
        assert "--project takes no dataset" in refused.communicate(timeout=60)[0]
        assert refused.returncode == 2


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights of a small network that has learned nothing."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path / "untrained.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


def test_by_itself_at_200_labels(label_studio: LabelStudioServer, tmp_path: Path, checkpoint: Path) -> None:
    more = {**QUICKER, "embedder": f"timm:test_resnet@{checkpoint}", "finetune": "auto"}
    with LineupServer(label_studio, tmp_path / "models", **more) as server:
        scene = project_on(server, 199)
        assert record_of(server, scene).state == "none"
        scene.annotate(199)
        server.wait(scene.project, labels=200)
        wait_for(lambda: record_of(server, scene).open, "200 labels ask for no training")
        record = ended(server, scene)
        assert record.state in ("published", "kept"), record.message
        assert (record.labels, record.attempts) == (200, 1)
        scene.annotate(200)
        server.wait(scene.project, labels=201)
        assert record_of(server, scene).finished_at == record.finished_at, "one label more is no reason"


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not RedisServer.installed():
        skip_unless_ci("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_by_a_worker_of_its_own_that_is_killed(
    label_studio: LabelStudioServer, tmp_path: Path, redis: RedisServer
) -> None:
    more = {**QUICKER, "redis_url": redis.url, "lease_seconds": 2.0}
    with LineupServer(label_studio, tmp_path / "models", **more) as server:
        workers = [WorkerProcess(server, "usual", ()), WorkerProcess(server, "trainer", ("train",))]
        try:
            workers[0].start()
            scene = project_on(server)
            asked = command(
                server, "train", "--project", str(scene.project), "--config", config_file(tmp_path)
            )
            wait_for(lambda: record_of(server, scene).state == "waiting", "nothing is asked for")
            workers[1].start()
            wait_for(lambda: record_of(server, scene).step.startswith("training"), "no training begins")
            assert server.wait(scene.project).version, "the usual worker is free"
            workers[1].kill()
            workers[1].start()
            assert "held out" in said(asked)
            own = record_of(server, scene).backbone
            assert own is not None
            wait_for(lambda: switched(server, scene, own), "no version on the new backbone is published")
            assert "a training is taken up" in workers[1].log
        finally:
            for worker in workers:
                worker.stop()
