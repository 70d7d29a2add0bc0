"""The server and the command line in the distributed mode, with a real Redis and without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from backend.app import create_app
from backend.cli import app
from backend.jobs.distributed.queue import RemoteQueue
from backend.jobs.embedded import EmbeddedWorker, to_environment
from backend.jobs.open import living_workers, open_hints, open_queue
from backend.settings import Settings, get_settings
from demo.label_studio import free_port
from tests.backend.jobs.test_embedded import wait_for
from tests.backend.trained import CONFIG, Trained, make_project, make_settings, make_trained
from tests.redis_server import PASSWORD, RedisServer

EVENT = {"action": "ANNOTATION_CREATED", "project": {"id": 7}}
SETUP = {"project": "7.1795212351", "schema": CONFIG, "hostname": "http://x", "access_token": "t"}


@pytest.fixture
def settings(tmp_path: Path, redis_server: RedisServer) -> Settings:
    """Settings with a Redis that is there."""
    return make_settings(tmp_path, redis_url=redis_server.url)


@pytest.fixture
def alone(tmp_path: Path) -> Trained:
    """A trained project whose settings name a Redis that is not there."""
    return make_trained(make_settings(tmp_path, redis_url=f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `lineup ...` with given settings."""
    monkeypatch.chdir(tmp_path)

    def run(settings: Settings, *arguments: str) -> Result:
        get_settings.cache_clear()
        environment = {"COLUMNS": "200", "TERM": "dumb", **to_environment(settings)}
        return CliRunner().invoke(app, list(arguments), env=environment)

    yield run
    get_settings.cache_clear()


def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), raise_server_exceptions=False)


def test_an_event_is_a_hint_in_redis_and_no_worker_is_started(settings: Settings):
    make_project(settings, 7)
    with client(settings) as web:
        assert web.post("/webhook", json=EVENT).status_code == 200
        assert open_hints(settings).pending()[7].reasons == {"ANNOTATION_CREATED"}
        assert web.get("/health").json()["worker"] == {"alive": False, "restarts": 0}
        assert web.get("/health").json()["queue"] == {"problem": None}
        assert "lineup_waiting_projects 1.0" in web.get("/metrics").text


def test_the_queue_follows_from_the_settings(settings: Settings, tmp_path: Path):
    assert isinstance(open_queue(settings), RemoteQueue)
    assert isinstance(open_queue(settings, own_worker=True), EmbeddedWorker)
    assert isinstance(open_queue(make_settings(tmp_path)), EmbeddedWorker)


def test_a_server_may_have_a_worker_of_its_own(settings: Settings):
    queue = open_queue(settings, own_worker=True)
    queue.start()
    try:
        wait_for(lambda: living_workers(settings), "its worker does not start")
        assert queue.alive
    finally:
        queue.stop()
    assert living_workers(settings) == []


def test_without_redis_an_event_is_refused_and_the_reason_told(alone: Trained):
    web = client(alone.settings)
    answer = web.post("/webhook", json=EVENT)
    assert answer.status_code == 503
    assert "next look" in answer.json()["detail"]
    health = web.get("/health").json()
    assert health["status"] == "UP"
    assert health["projects"]["7"]["model_version"] == alone.version
    assert "Redis cannot be used" in health["queue"]["problem"]
    assert PASSWORD not in answer.text + web.get("/health").text
    assert "lineup_waiting_projects" not in web.get("/metrics").text


def test_without_redis_label_studio_gets_its_answers(alone: Trained):
    web = client(alone.settings)
    for _ in range(2):
        assert web.post("/setup", json=SETUP).json() == {"model_version": alone.version}
    other = CONFIG.replace("dark", "dim")
    body = {"tasks": [alone.task(1)], "project": "7", "label_config": CONFIG}
    assert web.post("/predict", json=body).json()["results"][0]["result"]
    # this one would ask for a refresh
    answer = web.post("/predict", json={**body, "label_config": other})
    assert answer.status_code == 200
    assert answer.json()["results"][0]["result"] == []


def test_an_adoption_that_nobody_took_is_asked_for_again(tmp_path: Path):
    with RedisServer(tmp_path) as server:
        settings = make_settings(tmp_path, redis_url=server.url)
        web = client(settings)
        server.stop()
        assert web.post("/setup", json=SETUP).status_code == 200
        server.start()
        web.post("/setup", json=SETUP)
        assert open_hints(settings).pending()[7].reasons == {"setup"}


def test_the_command_line_asks_through_redis(shell, settings: Settings):
    make_project(settings, 7)
    result = shell(settings, "refresh", "--project", "7")
    assert result.exit_code == 0
    assert "No worker takes jobs from REDIS_URL" in result.output
    assert "lineup worker" in result.output
    assert open_hints(settings).pending()[7].reasons == {"cli"}
    assert shell(settings, "refresh", "--project", "7", "--wait").exit_code == 1
    assert "workers: 0" in shell(settings, "status").output


def test_the_command_line_says_that_redis_is_away(shell, alone: Trained):
    result = shell(alone.settings, "refresh", "--project", "7")
    assert result.exit_code == 1
    assert "Redis cannot be used" in result.output
    status = shell(alone.settings, "status")
    assert status.exit_code == 0
    assert "workers: unknown" in status.output
    assert alone.version in status.output
    assert PASSWORD not in result.output + status.output


def test_a_worker_takes_only_queues_that_there_are(shell, settings: Settings, tmp_path: Path):
    result = shell(settings, "worker", "--queue", "coffee")
    assert result.exit_code == 2
    assert "there is: refresh, embed" in result.output
    assert "needs REDIS_URL" in shell(make_settings(tmp_path), "worker", "--queue", "refresh").output


def test_an_address_that_is_none_is_refused_without_repeating_it(shell, settings: Settings, monkeypatch):
    wrong = settings.model_copy(update={"redis_url": type(settings.redis_url)(f"http://:{PASSWORD}@redis")})
    result = shell(wrong, "status")
    assert result.exit_code == 2
    assert "REDIS_URL" in result.output
    assert PASSWORD not in result.output
