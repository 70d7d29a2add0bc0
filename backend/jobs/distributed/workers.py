"""Which workers live: each says so in Redis again and again."""

from __future__ import annotations

import os
import socket
from uuid import uuid4

from redis import Redis
from rq.utils import as_text

from backend.jobs.distributed.link import redis_time

_KEY = "lineup:workers"


def worker_name() -> str:
    """Return a name for this process that tells a person where to look: host, process id, and a few digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"


def announce(connection: Redis, name: str, seconds: float) -> None:
    """Say that a worker lives, for the next ``seconds``."""
    now = redis_time(connection)
    with connection.pipeline() as pipe:
        pipe.zadd(_KEY, {name: now + seconds})
        pipe.zremrangebyscore(_KEY, 0, now)
        pipe.execute()


def withdraw(connection: Redis, name: str) -> None:
    """Say that a worker has ended."""
    connection.zrem(_KEY, name)


def living(connection: Redis) -> list[str]:
    """Return the names of the workers that live, in alphabetical order."""
    now = redis_time(connection)
    return sorted(as_text(name) for name in connection.zrangebyscore(_KEY, now, "+inf"))
