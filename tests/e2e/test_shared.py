"""Lineup on Redis and S3: a server and two workers, each with a working folder of its own, as on three machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.project import open_registry, project_turn
from backend.settings import Settings
from backend.snapshot import PUBLISHING, SNAPSHOT, SnapshotStore
from demo.digits import LABEL_CONFIG
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.conftest import QUICK
from tests.e2e.project import make_project
from tests.e2e.stack import Stack
from tests.e2e.workers import WorkerProcess, secrets_in, wait_for
from tests.redis_server import RedisServer
from tests.s3_server import SECRET, S3Server

SIZE = 48


@pytest.fixture(scope="module")
def stack(
    label_studio: LabelStudioServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    if not RedisServer.installed():
        skip_unless_ci("redis-server is not installed")
    folder = tmp_path_factory.mktemp("shared")
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        more = {
            **QUICK,
            "redis_url": redis.url,
            "lease_seconds": 3.0,
            "poll_interval": 60.0,
            "log_level": "DEBUG",
            "head_size": 12,
            "model_cache": folder / "of the server",
        }
        with LineupServer(
            label_studio, folder / "logs", shared=f"s3://{s3.bucket()}/lineup", **more
        ) as server:
            workers = [
                WorkerProcess(server, name, model_cache=folder / f"of worker {name}")
                for name in ("one", "two")
            ]
            project = make_project(label_studio, "on S3", size=SIZE, labelled=20, wrong=0)
            try:
                for worker in workers:
                    worker.start()
                server.connect(project.id)
                yield Stack(redis, server, workers, project, 20)
            finally:
                for worker in workers:
                    worker.stop()


def assert_the_same_everywhere(stack: Stack, tmp_path: Path) -> None:
    """What a further machine finds in the bucket is what stands in Label Studio."""
    stack.assert_converged()
    server, project = stack.server, stack.project
    given = {**server.settings.model_dump(), "model_dir": server.shared, "model_cache": tmp_path}
    further = Settings(_env_file=None, **given)  # type: ignore[call-arg]
    deadline = time.monotonic() + 30
    while True:
        with project_turn(further, project.id):
            store = SnapshotStore(further.project_dir(project.id) / SNAPSHOT)
            if not store.get_meta(PUBLISHING):
                break
        assert time.monotonic() < deadline, "a publish does not end"
        time.sleep(0.2)
    served = open_registry(further, project.id).published()
    assert served == project.served_version()
    tasks, snapshot = project.tasks(), store.load()
    assert {task["id"]: task["data"] for task in tasks} == {
        task_id: record.data for task_id, record in snapshot.tasks.items()
    }, "no field was lost"
    there = {
        (prediction["model_version"], task["id"]) for task in tasks for prediction in task["predictions"]
    }
    assert there == {(v, task) for v in store.posted_versions() for task in store.posted(v)}
    answers = server.predict(
        project.id, [{"id": task["id"], "data": task["data"]} for task in tasks[:4]], LABEL_CONFIG
    )
    assert all(answer["result"] for answer in answers)
    wait_for(
        lambda: (
            server.predict(project.id, [], LABEL_CONFIG) == []
            and stack.health()["projects"][str(project.id)]["model_version"] == served
        ),
        "the server does not serve it",
    )


def test_either_worker_goes_on_where_the_other_ended(stack: Stack, tmp_path: Path) -> None:
    stack.assert_converged()
    for _ in range(8):
        if all(worker.refreshes(stack.project.id) for worker in stack.workers):
            break
        stack.annotate(1)
        stack.assert_converged()
    assert all(worker.refreshes(stack.project.id) for worker in stack.workers), "both took their turn"
    assert_the_same_everywhere(stack, tmp_path)
    assert stack.status().counts["images"] == {"embedded": SIZE}, "no image was embedded twice"


@pytest.mark.parametrize("step", ["publish predictions", "publish fields"])
def test_a_worker_killed_while_it_publishes_is_taken_over_from(
    stack: Stack, tmp_path: Path, step: str
) -> None:
    stack.annotate(3)

    def at_it() -> bool:
        status = stack.status()
        return status.state == "running" and status.step == step

    wait_for(at_it, f"no refresh comes to {step!r}")
    victim, survivor = stack.running()
    victim.kill()
    stack.annotate(1)
    assert_the_same_everywhere(stack, tmp_path)
    assert "a publish elsewhere did not end" in survivor.log
    sampling = stack.project.server.api("GET", f"/api/projects/{stack.project.id}")["sampling"]
    assert sampling == "Uncertainty sampling"
    for worker in stack.workers:
        assert "someone" not in worker.log, "Lineup's own writes are nobody's choice"
    victim.start()


def test_the_bucket_goes_away_and_comes_back(stack: Stack, s3: S3Server, tmp_path: Path) -> None:
    s3.stop()
    stack.annotate(2)
    task = stack.project.tasks()[0]
    answers = stack.server.predict(stack.project.id, [{"id": task["id"], "data": task["data"]}], LABEL_CONFIG)
    assert answers[0]["result"], "annotators are served all the same"
    wait_for(lambda: stack.health()["storage"]["problem"], "nobody says so")
    assert "MODEL_DIR=s3://" in stack.health()["storage"]["problem"]
    s3.start()
    assert_the_same_everywhere(stack, tmp_path)
    wait_for(lambda: stack.health()["storage"]["problem"] is None, "it still says so")


def test_logs_hold_no_secret(stack: Stack) -> None:
    logs = [worker.log_path for worker in stack.workers] + [stack.server.log_path]
    assert secrets_in(logs, [SECRET, stack.project.server.token]) == []
