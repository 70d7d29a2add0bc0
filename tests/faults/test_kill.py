"""kill -9 at random moments of refreshes: the next start goes on, and in the end all is as if nothing had happened.

``FAULT_SEED`` chooses the moments, ``FAULT_KILLS`` how many of the worker and of the server there are.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.status import read_status
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.workers import WorkerProcess
from tests.faults.kills import Moment, await_moment, moments
from tests.faults.reader import Reader
from tests.faults.scene import HASTY, Scene
from tests.redis_server import RedisServer

SEED = int(os.environ.get("FAULT_SEED", "20"))
KILLS = int(os.environ.get("FAULT_KILLS", "20"))
# with Redis what is killed is the same refresh: fewer moments show that another start takes it up
KILLS_WITH_REDIS = max(1, KILLS // 4)


@dataclass
class Killer:
    """Kills at moments of refreshes, and keeps a list of what that hit."""

    scene: Scene
    lineup: LineupServer
    hits: list[tuple[str, str, Moment]] = field(default_factory=list)

    def kill(self, what: str, moment: Moment, pid: Callable[[], int], since: float) -> None:
        """Kill at a moment of the next refresh that begins after ``since``."""
        step = await_moment(self.lineup, self.scene.project.id, moment, since)
        os.kill(pid(), signal.SIGKILL)
        self.hits.append((what, step, moment))

    def told(self) -> str:
        """Return how often each step was hit."""
        lines = []
        for what in sorted({what for what, _, _ in self.hits}):
            counts = Counter(step for one, step, _ in self.hits if one == what)
            lines.append(f"{counts.total()} kills of the {what} hit: {dict(counts.most_common())}")
        return "\n".join(lines)


@pytest.fixture
def scene(label_studio: LabelStudioServer) -> Scene:
    return Scene.make(label_studio, "killed", SEED)


@pytest.fixture(autouse=True)
def told_seed() -> None:
    print(f"\nFAULT_SEED={SEED} FAULT_KILLS={KILLS}")


def begin(scene: Scene, lineup: LineupServer) -> float:
    """Connect and let one refresh go undisturbed; return how long it took, in seconds."""
    began = time.time()
    lineup.connect(scene.project.id)
    scene.settle(lineup, began)
    scene.grow()
    return sum(lineup.wait(scene.project.id, labels=len(scene.labels)).seconds.values())


def worker_pid(lineup: LineupServer, scene: Scene) -> int:
    pid = read_status(lineup.settings.project_dir(scene.project.id)).worker_pid
    assert pid is not None
    return pid


def server_pid(lineup: LineupServer) -> int:
    assert lineup.process is not None
    return lineup.process.pid


def test_worker_and_server_are_killed_in_turn(
    label_studio: LabelStudioServer, scene: Scene, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    with LineupServer(label_studio, tmp_path / "models", **HASTY) as lineup:
        length = begin(scene, lineup)
        killer = Killer(scene, lineup)
        with Reader(scene.project, lineup):
            plans = moments(rng, KILLS, length), moments(rng, KILLS, length)
            for of_worker, of_server in zip(*plans, strict=True):
                since = time.time()
                scene.grow()
                killer.kill("worker", of_worker, lambda: worker_pid(lineup, scene), since)
                killer.kill("server", of_server, lambda: server_pid(lineup), time.time())
                scene.grow()  # nobody is told of it
                lineup.start()
            print(killer.told())
            scene.jump()
            scene.settle(lineup)
        scene.assert_as_if_nothing_had_happened(lineup, tmp_path / "undisturbed")


def test_workers_of_redis_are_killed(label_studio: LabelStudioServer, scene: Scene, tmp_path: Path) -> None:
    if not RedisServer.installed():
        skip_unless_ci("redis-server is not installed")
    rng = random.Random(SEED)
    (tmp_path / "redis").mkdir()
    with RedisServer(tmp_path / "redis") as redis:
        more = {**HASTY, "redis_url": redis.url, "lease_seconds": 2.0}
        with LineupServer(label_studio, tmp_path / "models", **more) as lineup:
            worker = WorkerProcess(lineup, "worker").start()
            try:
                length = begin(scene, lineup)
                killer = Killer(scene, lineup)
                with Reader(scene.project, lineup):
                    for moment in moments(rng, KILLS_WITH_REDIS, length):
                        since = time.time()
                        scene.grow()
                        killer.kill("worker", moment, lambda: worker.pid, since)
                        assert worker.process is not None
                        worker.process.wait()
                        scene.grow()
                        worker.start()
                    print(killer.told())
                    scene.jump()
                    scene.settle(lineup)
                scene.assert_as_if_nothing_had_happened(lineup, tmp_path / "undisturbed")
            finally:
                worker.stop()
