"""What was found out about single images and masks: small values on disk, so that a refresh asks only what is new."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with self._connect() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(_SCHEMA)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=10)
        try:
            db.execute("PRAGMA synchronous=NORMAL")
            with db:
                yield db
        finally:
            db.close()

    def recall(self, name: str) -> dict[str, Remembered]:
        """Return all that is known under a name, by key; what was kept longest ago comes first."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT key, source, value FROM memory WHERE name = ? ORDER BY rowid", (name,)
            ).fetchall()
        return {key: Remembered(source, json.loads(value)) for key, source, value in rows}

    def keep(self, name: str, source: str, values: Mapping[str, Any]) -> None:
        """Remember values that came from ``source``, by key."""
        rows = [(name, key, source, json.dumps(value)) for key, value in values.items()]
        with self._connect() as db:
            db.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?)", rows)

    def forget(self, name: str, keys: Collection[str]) -> None:
        """Forget values by key."""
        with self._connect() as db:
            db.executemany("DELETE FROM memory WHERE name = ? AND key = ?", [(name, key) for key in keys])

    def keep_only(self, name: str, keys: Collection[str]) -> None:
        """Forget what is known of other keys."""
        wanted = set(keys)
        with self._connect() as db:
            known = [key for (key,) in db.execute("SELECT key FROM memory WHERE name = ?", (name,))]
        if gone := [key for key in known if key not in wanted]:
            self.forget(name, gone)
