"""MODEL_DIR full or read-only: it is said, what is published goes on predicting, and it mends itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.workers import wait_for
from tests.faults.disk import SmallDisk
from tests.faults.reader import Reader
from tests.faults.scene import HASTY, Scene

SEED = 7


class OnSmallDisk(LineupServer):
    """A Lineup whose log is on another disk, as it is under Docker."""

    @property
    def log_path(self) -> Path:
        return self.model_dir.parent.parent / "lineup.log"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not SmallDisk.possible():
        pytest.skip("only who may mount can make a small disk")
    with SmallDisk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def scene(label_studio: LabelStudioServer) -> Scene:
    return Scene.make(label_studio, "on a small disk", SEED)


@pytest.fixture
def lineup(label_studio: LabelStudioServer, disk: SmallDisk, scene: Scene) -> Iterator[LineupServer]:
    """A Lineup that has caught up with the project."""
    with OnSmallDisk(label_studio, disk.folder / "models", **HASTY) as server:
        since = time.time()
        server.connect(scene.project.id)
        scene.settle(server, since)
        yield server


def problem(lineup: LineupServer) -> str:
    """What /health says of MODEL_DIR."""
    health: dict[str, Any] = httpx.get(f"{lineup.url}/health", timeout=10, trust_env=False).json()
    return str(health["storage"]["problem"] or "")


def status(lineup: LineupServer) -> str:
    """What `lineup status` says."""
    command = [sys.executable, "-m", "backend.cli", "status"]
    done = subprocess.run(
        command,
        env=lineup.environment() | {"COLUMNS": "400"},
        cwd=lineup.model_dir,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def restart(lineup: LineupServer) -> None:
    lineup.stop()
    lineup.start()


@pytest.mark.parametrize("left", [0, 200_000], ids=["to the last byte", "but for 200 kB"])
def test_a_full_disk(lineup: LineupServer, disk: SmallDisk, scene: Scene, left: int) -> None:
    before = lineup.registry(scene.project.id).published()
    with Reader(scene.project, lineup) as reader:
        disk.fill(leave=left)
        scene.grow()
        wait_for(lambda: "MODEL_DIR is full" in problem(lineup), "/health does not tell")
        assert "Free some space" in problem(lineup)
        told = status(lineup)
        assert "MODEL_DIR is full" in told
        assert str(disk.folder) in told
        restart(lineup)
        scene.grow()
        assert "MODEL_DIR is full" in problem(lineup)
        reader.wait_for_more(10)
        if not left:
            assert set(reader.answers) == {before}, "what is published is served on"
        disk.empty()
        state = scene.settle(lineup)
    assert problem(lineup) == ""
    assert "MODEL_DIR is full" not in status(lineup)
    assert set(state.predicted) == set(state.stored), "new images are predicted, too"
    assert lineup.registry(scene.project.id).published() != before


def test_a_read_only_disk(lineup: LineupServer, disk: SmallDisk, scene: Scene) -> None:
    before = lineup.registry(scene.project.id).published()
    with Reader(scene.project, lineup) as reader:
        disk.freeze()
        scene.grow()
        wait_for(lambda: "MODEL_DIR cannot be written to" in problem(lineup), "/health does not tell")
        assert "Mount it for writing" in problem(lineup)
        assert "MODEL_DIR cannot be written to" in status(lineup)
        reader.wait_for_more(10)
        restart(lineup)
        assert "MODEL_DIR cannot be written to" in problem(lineup)
        scene.grow()
        reader.wait_for_more(10)
        assert set(reader.answers) == {before}
        disk.thaw()
        scene.settle(lineup)
    assert problem(lineup) == ""
    assert lineup.registry(scene.project.id).published() != before
