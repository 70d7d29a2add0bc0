"""Fixtures for every test: a real Label Studio and a real Redis, started where a test asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.label_studio import LabelStudioFailed, LabelStudioServer, executable
from tests.redis_server import RedisServer
from tests.s3_server import S3Server, s3_server


def skip_unless_ci(reason: str) -> None:
    """Skip a test whose tool is absent; in CI (`CI=true`) that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{reason} (must be present when CI is set)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A real Label Studio on SQLite; projects of earlier tests remain, so make your own."""
    try:
        executable()
    except LabelStudioFailed as error:
        skip_unless_ci(str(error))
    with LabelStudioServer(tmp_path_factory.mktemp("label_studio") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for the whole session; `redis_server` is the same, emptied."""
    if not RedisServer.installed():
        skip_unless_ci("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A real Redis with nothing in it."""
    shared_redis.client().flushall()
    return shared_redis


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """An S3 server, and an environment in which S3 clients find it."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return Path(__file__).resolve().parent.parent
