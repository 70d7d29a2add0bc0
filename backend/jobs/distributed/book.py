"""What the workers must know of a project together: whose it was last, what is owed, when it was looked at."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis
from rq.utils import as_text

_BEGIN = """
local generation = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if tonumber(ARGV[1]) >= generation then
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', tonumber(ARGV[1]) + 1))
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One project.

    Attributes
    ----------
    generation : int
        Which the next job of the project is.
    worker : str
        Who refreshed it last; the only one with what idle work needs in memory.
    idle : bool
        Whether idle work is left.
    looked_at, not_before : float
        When somebody last looked for changes, and when a lost refresh may be asked for again; seconds since the
        epoch of Redis' clock.
    """

    generation: int = 0
    worker: str = ""
    idle: bool = False
    looked_at: float = 0.0
    not_before: float = 0.0


class Book:
    """One hash a project in Redis."""

    def __init__(self, connection: Redis) -> None:
        self._redis = connection
        self._begin = connection.register_script(_BEGIN)

    def page(self, project_id: int) -> Page:
        """Return what is written of a project."""
        raw = self._redis.hgetall(_page(project_id))
        return Page(
            int(raw.get(b"generation", 0)),
            as_text(raw.get(b"worker", b"")),
            raw.get(b"idle") == b"1",
            float(raw.get(b"looked_at", 0)),
            float(raw.get(b"not_before", 0)),
        )

    def generation(self, project_id: int) -> int:
        """Return the generation of a project's next job."""
        return int(self._redis.hget(_page(project_id), "generation") or 0)

    def begin(self, project_id: int, generation: int) -> None:
        """End a generation: hints from now on make a new job."""
        self._begin(keys=[_page(project_id)], args=[generation])

    def write(self, project_id: int, **fields: str | float) -> None:
        """Write fields of a project's page; a bool is written as 0 or 1."""
        for name, value in fields.items():
            self._redis.hset(_page(project_id), name, int(value) if isinstance(value, bool) else value)


def _page(project_id: int) -> str:
    return f"lineup:project:{project_id}"
