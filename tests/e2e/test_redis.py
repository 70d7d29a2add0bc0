"""Lineup on Redis: a server, two worker processes, a real Redis and a real Label Studio."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from backend.jobs.open import living_workers
from demo.digits import LABEL_CONFIG
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.conftest import skip_unless_ci
from tests.e2e.conftest import QUICK
from tests.e2e.project import make_project
from tests.e2e.stack import Stack
from tests.e2e.workers import WorkerProcess, secrets_in, wait_for
from tests.redis_server import PASSWORD, RedisServer


@pytest.fixture(scope="module")
def stack(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not RedisServer.installed():
        skip_unless_ci("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        models = tmp_path_factory.mktemp("distributed") / "models"
        more = {**QUICK, "redis_url": redis.url, "lease_seconds": 3.0, "poll_interval": 6.0}
        with LineupServer(label_studio, models, **more) as server:
            workers = [WorkerProcess(server, name) for name in ("one", "two")]
            project = make_project(label_studio, "on Redis", size=80, labelled=30, wrong=0)
            try:
                for worker in workers:
                    worker.start()
                server.connect(project.id)
                yield Stack(redis, server, workers, project, 30)
            finally:
                for worker in workers:
                    worker.stop()


def test_the_server_has_no_worker_of_its_own(stack: Stack) -> None:
    assert stack.server.process is not None
    pid = stack.server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children.split()]
    assert not [command for command in commands if b"worker" in command]
    assert len(living_workers(stack.server.settings)) == 2
    assert stack.health()["worker"]["alive"] is True
    assert stack.health()["queue"] == {"problem": None}
    stack.assert_converged()


def test_events_lead_to_few_refreshes(stack: Stack) -> None:
    before = len(stack.refreshes())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: stack.event(), range(200)))
    assert set(answers) == {200}
    stack.annotate(4)
    stack.assert_converged()
    assert 1 <= sum("ANNOTATION" in reasons for _, _, reasons in stack.refreshes()[before:]) <= 6


def test_what_stands_in_redis_is_json(stack: Stack) -> None:
    client = stack.redis.client()
    jobs = [client.hgetall(key) for key in client.scan_iter("rq:job:*") if client.type(key) == b"hash"]
    jobs = [job for job in jobs if b"data" in job]
    assert jobs
    for job in jobs:
        name, _, arguments, _ = json.loads(zlib.decompress(job[b"data"]))
        assert name == "lineup.refresh"
        assert all(isinstance(argument, int) for argument in arguments)


def test_status_is_told_wherever_the_folder_is_seen(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", "status"],
        capture_output=True,
        text=True,
        cwd=stack.server.model_dir,
        env=stack.server.environment() | {"COLUMNS": "200"},
    )
    assert "workers: 2 (" in done.stdout
    info = subprocess.run(
        [str(Path(sys.executable).with_name("rq")), "info", "--raw", "--url", stack.redis.url],
        capture_output=True,
        text=True,
    )
    assert "queue lineup-refresh" in info.stdout, info.stderr
    assert info.stdout.count("worker ") >= 2
    assert PASSWORD not in done.stdout + done.stderr + info.stdout


def test_another_worker_takes_over_from_a_killed_one(stack: Stack) -> None:
    stack.annotate(4)
    victim, survivor = stack.running()
    seen = len(survivor.refreshes(stack.project.id))
    victim.kill()
    stack.assert_converged()
    assert len(survivor.refreshes(stack.project.id)) > seen, "the other one did it"
    wait_for(lambda: len(living_workers(stack.server.settings)) == 1, "the dead one still counts as living")
    victim.start()


def test_a_worker_that_is_asked_to_end_leaves_the_rest_to_another(stack: Stack) -> None:
    stack.annotate(4)
    leaving, _ = stack.running()
    assert leaving.end() == 0
    wait_for(lambda: len(living_workers(stack.server.settings)) == 1, "it has not said that it goes")
    stack.assert_converged()
    leaving.start()


def test_redis_goes_away_and_comes_back(stack: Stack) -> None:
    stack.annotate(4)
    stack.running()  # what is under way when Redis goes has to give up, and to be taken up again
    stack.redis.stop()
    assert stack.event() == 503
    health = stack.health()
    assert health["status"] == "UP"
    assert "Redis cannot be used" in health["queue"]["problem"]
    project = stack.project
    tasks = [{"id": task["id"], "data": task["data"]} for task in project.tasks()[:4]]
    answers = stack.server.predict(project.id, tasks, LABEL_CONFIG)
    assert all(answer["result"] for answer in answers), "annotators are served all the same"
    stack.annotate(4)
    stack.redis.start()
    stack.assert_converged()
    assert stack.health()["queue"] == {"problem": None}
    assert all(worker.process and worker.process.poll() is None for worker in stack.workers)


def test_a_redis_that_forgot_everything_costs_nothing(stack: Stack) -> None:
    stack.annotate(4)
    stack.redis.client().flushall()  # with whatever the events had left
    stack.assert_converged()


def test_two_never_refreshed_it_at_the_same_time(stack: Stack) -> None:
    runs = stack.refreshes()
    assert {bool(worker.refreshes(stack.project.id)) for worker in stack.workers} == {True}
    for (_, end, _), (begin, _, _) in pairwise(runs):
        assert begin >= end


def test_logs_hold_no_secret(stack: Stack) -> None:
    logs = [worker.log_path for worker in stack.workers] + [stack.server.log_path]
    secrets = [PASSWORD, stack.project.server.token, str(QUICK["webhook_secret"])]
    assert secrets_in(logs, secrets) == []


def test_all_end_and_nothing_is_left_running(stack: Stack) -> None:
    for worker in stack.workers:
        assert worker.end() == 0
        with pytest.raises(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    assert living_workers(stack.server.settings) == []
    assert stack.health()["worker"]["alive"] is False
