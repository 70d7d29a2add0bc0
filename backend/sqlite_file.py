"""SQLite files that several processes use: opened for each piece of work, readable while one of them writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 10.0  # seconds to wait for another process


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for one transaction: kept at the end, or undone by an exception."""
    db = sqlite3.connect(path, timeout=PATIENCE)
    try:
        db.execute("PRAGMA synchronous=NORMAL")
        with db:
            yield db
    finally:
        db.close()


def create(path: Path, schema: str) -> None:
    """Make a file with its tables, those that are missing; its folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with connected(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema)
