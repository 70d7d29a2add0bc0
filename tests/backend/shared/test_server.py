"""A server whose workers are on other machines: what it answers, what it asks the bucket, and when that is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from backend.app import create_app
from backend.cli import app as command
from backend.project import LEARNED, PINNED, open_registry, project_turn, tell_status
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, Content, SnapshotStore
from backend.status import LastRefresh, Status
from ml.vectors import content_key
from tests.backend.shared.conftest import Machine
from tests.backend.trained import CONFIG, HintList, Trained, make_trained, png
from tests.s3_server import S3Server

AWAY = (403, "AccessDenied", "Access Denied")


@pytest.fixture
def trained(machine: Machine) -> Trained:
    """A project that a worker has trained on its own machine."""
    settings = machine("worker")
    shared = share(settings)
    assert shared is not None
    shared.connect(7)
    with project_turn(settings, 7):
        made = make_trained(settings)
    last = LastRefresh(made.version, time.time(), tasks=2, labels=2)
    tell_status(settings, 7, Status(last_refresh=last, counts={"images": {"embedded": 2}}))
    return made


@pytest.fixture
def queue() -> HintList:
    return HintList()


@pytest.fixture
def client(machine: Machine, queue: HintList) -> Iterator[TestClient]:
    with TestClient(create_app(machine("server"), queue)) as client:
        yield client


def predict(client: TestClient, *tasks: dict) -> list[dict]:
    body = {"tasks": list(tasks), "project": "7.1", "label_config": CONFIG}
    return client.post("/predict", json=body).json()["results"]


def chosen(result: dict) -> str:
    return result["result"][0]["value"]["choices"][0]


def test_it_answers_from_what_a_worker_elsewhere_published(client: TestClient, trained: Trained) -> None:
    results = predict(client, trained.task(1, "dark"), trained.task(2, "bright"))
    assert [chosen(result) for result in results] == ["dark", "bright"]
    assert {result["model_version"] for result in results} == {trained.version}
    answer = client.post("/setup", json={"project": "7.1", "schema": CONFIG}).json()
    assert answer["model_version"] == trained.version
    health = client.get("/health").json()
    assert health["projects"]["7"]["model_version"] == trained.version
    assert health["storage"] == {"problem": None}
    assert client.get("/versions").json() == {"versions": [trained.version]}
    assert 'lineup_images_total{outcome="embedded",project="7"} 2.0' in client.get("/metrics").text


def test_tasks_do_not_each_ask_the_bucket(client: TestClient, trained: Trained, s3: S3Server) -> None:
    predict(client, trained.task(1))
    begun, started = len(s3.seen), time.monotonic()
    for number in range(60):
        predict(client, trained.task(number))
    assert len(s3.seen) - begun <= 1 + (time.monotonic() - started) * 2


def test_a_new_version_is_seen_soon(client: TestClient, trained: Trained) -> None:
    assert predict(client, trained.task(1))[0]["model_version"] == trained.version
    newer = trained.publish_another()
    deadline = time.monotonic() + 10
    while predict(client, trained.task(1))[0]["model_version"] != newer:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_images_a_worker_met_since_are_known(client: TestClient, trained: Trained) -> None:
    predict(client, trained.task(1))
    with project_turn(trained.settings, 7):
        trained.store.put_contents({"/known/late.png": Content(content_key(png(230)), None, 0.0)})
    time.sleep(1.1)  # as long as a listing may be old
    assert chosen(predict(client, trained.task(3, "late"))[0]) == "bright"


def test_events_of_projects_connected_elsewhere_count(
    client: TestClient, trained: Trained, queue: HintList
) -> None:
    for project in (7, 8):
        client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": project}})
    assert queue.asked == [(7, "ANNOTATION_CREATED")]


def test_while_the_bucket_is_away_the_old_version_is_served(
    client: TestClient, trained: Trained, s3: S3Server, machine: Machine
) -> None:
    task = trained.task(1)
    predict(client, task)
    with s3.refusing(lambda *_: AWAY):
        time.sleep(1.1)
        assert chosen(predict(client, task)[0]) == "dark"
        health = client.get("/health").json()
        assert health["status"] == "UP"
        assert health["projects"]["7"]["model_version"] == trained.version
        problem = health["storage"]["problem"]
        assert problem.startswith(f"MODEL_DIR={trained.settings.model_url} cannot be ")
        assert "s3:GetObject" in problem
        assert client.get("/metrics").status_code == 200
        client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 7}})
        share.__globals__["_open"].cache_clear()  # a restart
        with TestClient(create_app(machine("server"), HintList())) as restarted:
            assert chosen(predict(restarted, task)[0]) == "dark"
    deadline = time.monotonic() + 15
    while client.get("/health").json()["storage"]["problem"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_commands_work_on_any_machine(
    trained: Trained, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3: S3Server
) -> None:
    with project_turn(trained.settings, 7):
        newer = trained.publish_another()
        trained.store.set_meta(LEARNED, "b" * 64)
    settings = machine("laptop")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("backend.cli.common.get_settings", lambda: settings)
    run = CliRunner()
    assert newer in run.invoke(command, ["status"]).output
    assert newer in run.invoke(command, ["versions", "--project", "7"]).output
    done = run.invoke(command, ["rollback", "--project", "7"])
    assert done.exit_code == 0, done.output
    third = machine("third")
    assert open_registry(third, 7).published() == trained.version
    with project_turn(third, 7):
        assert SnapshotStore(third.project_dir(7) / SNAPSHOT).get_meta(PINNED) == "b" * 64
    with s3.refusing(lambda *_: AWAY):
        time.sleep(2.1)  # as long as a list of projects may be old
        away = run.invoke(command, ["status"])
    assert f"MODEL_DIR={settings.model_url} cannot be " in away.output
    assert trained.version in away.output, "what is known here is shown all the same"
    missing = run.invoke(command, ["versions", "--project", "8"])
    assert f"MODEL_DIR={settings.model_url} (known: 7)" in missing.output
