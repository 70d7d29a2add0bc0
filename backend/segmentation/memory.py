"""What was found out about single images and masks: small values on disk, so that a refresh asks only what is new."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.sqlite_file import connected, create

FILE = "segmentation.sqlite"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS memory (
    name TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name, key));
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A value, and what it came from: the model, say, that said it."""

    source: str
    value: Any


class Memory:
    """Values of JSON by name and key. Losing it costs time, nothing else: it is of this machine alone.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        create(path, _SCHEMA)

    def recall(self, name: str) -> dict[str, Remembered]:
        """Return all that is known under a name, by key; what was kept longest ago comes first."""
        with connected(self.path) as db:
            rows = db.execute(
                "SELECT key, source, value FROM memory WHERE name = ? ORDER BY rowid", (name,)
            ).fetchall()
        return {key: Remembered(source, json.loads(value)) for key, source, value in rows}

    def keep(self, name: str, source: str, values: Mapping[str, Any]) -> None:
        """Remember values that came from ``source``, by key."""
        rows = [(name, key, source, json.dumps(value)) for key, value in values.items()]
        with connected(self.path) as db:
            db.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", rows)

    def forget(self, name: str, keys: Collection[str]) -> None:
        """Forget values by key."""
        with connected(self.path) as db:
            db.executemany("DELETE FROM memory WHERE name = ? AND key = ?", [(name, key) for key in keys])

    def keep_only(self, name: str, keys: Collection[str]) -> None:
        """Forget what is known of other keys."""
        wanted = set(keys)
        with connected(self.path) as db:
            known = [key for (key,) in db.execute("SELECT key FROM memory WHERE name = ?", (name,))]
        if gone := [key for key in known if key not in wanted]:
            self.forget(name, gone)
