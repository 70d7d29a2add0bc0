"""Is the Redis there through which server and workers share the work?"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis import AuthenticationError, ConnectionError, RedisError, TimeoutError

from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from backend.jobs.distributed.link import link
from backend.jobs.open import distributed

_PATIENCE = 3.0
_KEEPS = "noeviction"


def check_redis(context: Context) -> Outcome:
    """Sign in to Redis, and see that it throws nothing away."""
    settings = context.settings
    if not distributed(settings):
        return skipped("REDIS_URL is not set: the server has a worker of its own")
    place = _place(settings.redis_url.get_secret_value())
    try:
        with link(settings, _PATIENCE) as connection:
            info: dict[str, Any] = connection.info()
    except AuthenticationError as error:
        return failure(
            f"Redis at {place} refuses REDIS_URL's password: {error}", "Correct the password in REDIS_URL"
        )
    except (ConnectionError, TimeoutError) as error:
        return failure(f"no Redis answers at {place}: {error}", "Start Redis, or correct REDIS_URL")
    except RedisError as error:
        return failure(f"what answers at {place} is of no use as Redis: {error}", "Correct REDIS_URL")
    line = f"Redis {info['redis_version']} at {place}"
    if info.get("maxmemory") and info.get("maxmemory_policy") != _KEEPS:
        return warning(
            f"{line} throws entries away when its memory is full ({info['maxmemory_policy']})",
            f"Start it with --maxmemory-policy {_KEEPS}",
        )
    return ok(line)


def _place(url: str) -> str:
    """Return where a Redis is, without its password."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
