"""Redis and the workers behind it: there, away, with another password, something else, forgetful."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.jobs.distributed.workers import announce, withdraw
from backend.settings import Settings
from tests.backend.doctor.clinic import Doctor
from tests.backend.labelstudio.web import Reply, Site
from tests.redis_server import PASSWORD, RedisServer


def test_none_is_asked_for(doctor: Doctor, settings: Settings) -> None:
    assert doctor(settings)["redis"]["status"] == "skipped"


def test_one_that_is_there_and_its_workers(
    doctor: Doctor, settings: Settings, redis_server: RedisServer
) -> None:
    said = doctor(settings, REDIS_URL=redis_server.url)
    assert said["redis"]["status"] == "ok"
    assert said["redis"]["line"].endswith(f" at 127.0.0.1:{redis_server.port}")
    assert said["worker"]["line"] == "no worker takes work from REDIS_URL"
    assert said["worker"]["fix"] == "Start one: lineup worker"
    connection = redis_server.client()
    announce(connection, "here-1", 30)
    assert doctor(settings, REDIS_URL=redis_server.url)["worker"]["line"] == "1 on REDIS_URL: here-1"
    said = doctor(settings, REDIS_URL=redis_server.url, FINETUNE="auto")["worker"]
    assert (said["status"], said["fix"]) == ("warning", "Start one more: lineup worker --queue train")
    withdraw(connection, "here-1")
    assert "worker" in doctor(settings, REDIS_URL=redis_server.url).failed()


def test_one_that_throws_entries_away(doctor: Doctor, settings: Settings, redis_server: RedisServer) -> None:
    connection = redis_server.client()
    before = {name: connection.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    connection.config_set("maxmemory", "100mb")
    connection.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = doctor(settings, REDIS_URL=redis_server.url)["redis"]
    finally:
        for name, value in before.items():
            connection.config_set(name, value)
    assert found["status"] == "warning"
    assert "allkeys-lru" in found["line"]


def test_a_wrong_password_and_none(doctor: Doctor, settings: Settings, redis_server: RedisServer) -> None:
    for given in (":mistaken@", ""):
        said = doctor(settings, REDIS_URL=f"redis://{given}127.0.0.1:{redis_server.port}/0")
        assert "refuses REDIS_URL's password" in said["redis"]["line"]
        assert said["worker"]["line"] == "needs redis"
        assert PASSWORD not in str(said.found)
        assert "mistaken" not in str(said.found)


def test_one_that_is_stopped(
    doctor: Doctor, settings: Settings, tmp_path: Path, redis_server: RedisServer
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    with RedisServer(folder) as server:
        assert doctor(settings, REDIS_URL=server.url)["redis"]["status"] == "ok"
    said = doctor(settings, REDIS_URL=server.url)
    assert "no Redis answers at 127.0.0.1:" in said["redis"]["line"]
    assert PASSWORD not in str(said.found)


def test_something_else_is_there(doctor: Doctor, settings: Settings, site: Callable[..., Site]) -> None:
    web = site(lambda seen: Reply(200, b"hello")).url
    said = doctor(settings, REDIS_URL=web.replace("http", "redis") + "/0")
    assert "redis" in said.failed()
