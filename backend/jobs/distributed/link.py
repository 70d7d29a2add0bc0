"""Connections to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.jobs.base import QueueUnavailable
from backend.settings import Settings

# a webhook is answered within Label Studio's one second even where Redis does not answer at all
PATIENCE = 0.4


def link(settings: Settings, patience: float = PATIENCE) -> Redis:
    """Return a client of the Redis at ``REDIS_URL``; it connects when first used, and again after a loss.

    Parameters
    ----------
    patience : float
        Seconds to wait for a connection, and for an answer.
    """
    return Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_connect_timeout=patience,
        socket_timeout=patience,
        # one more try: a pooled connection may be of a Redis that was restarted
        retry=Retry(NoBackoff(), 1),
    )


@contextmanager
def told() -> Iterator[None]:
    """Turn an error of Redis into `QueueUnavailable`; neither has the address, which may hold a password."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(f"Redis cannot be used: {type(error).__name__}: {error}") from error


def redis_time(connection: Redis) -> float:
    """Return Redis' own time, the one clock all machines share, in seconds since the epoch."""
    seconds, micro = connection.time()
    return float(seconds) + float(micro) / 1e6
