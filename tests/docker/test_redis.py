"""Redis as the compose file starts it, for real: with a password, keeping what it holds."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import redis

from tests.conftest import skip_unless_ci
from tests.docker.compose import load, variables_of
from tests.docker.services import running_redis

VALUE = "kept"


def test_it_asks_for_the_password_and_survives_a_kill(repository: Path, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        skip_unless_ci("redis-server is not installed")
    variables = variables_of(repository / ".env.example")
    service = load([repository / "docker-compose.yml"], variables)["services"]["redis"]
    password = variables["REDIS_PASSWORD"]
    with running_redis(service["command"], tmp_path, password) as client:
        client.set("key", VALUE)
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        stranger = redis.Redis(port=client.connection_pool.connection_kwargs["port"])
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        # written to the disk once a second
        time.sleep(1.2)
    with running_redis(service["command"], tmp_path, password) as client:
        assert client.get("key") == VALUE
