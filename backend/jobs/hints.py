"""Hints that a project may have changed, kept in one SQLite file until a refresh that saw them has ended."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from backend.jobs.base import Pending, QueueUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hints (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS hints_project ON hints (project, id);
"""
HINTS_FILE = "hints.sqlite"


class HintStore:
    """The embedded mode's `Hints`: open hints, written by any process in well under a millisecond and lost by none.

    Losing power may lose the last moments' hints: the poll finds those changes.

    Parameters
    ----------
    model_dir : Path
        Folder that gets ``hints.sqlite``.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, model_dir: Path, clock: Callable[[], float] = time.time) -> None:
        model_dir.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            model_dir / HINTS_FILE, timeout=5, check_same_thread=False, isolation_level=None
        )
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    @property
    def problem(self) -> str | None:
        """None: a file of one's own takes hints as long as the disk does, and says itself when it does not."""
        return None

    def add(self, project_id: int, reason: str) -> None:
        """Note that a project may have changed.

        Raises
        ------
        QueueUnavailable
            If the file cannot be written to.
        """
        try:
            with self._lock:
                self._db.execute(
                    "INSERT INTO hints (project, reason, at) VALUES (?, ?, ?)",
                    (project_id, reason, self._clock()),
                )
        except sqlite3.Error as error:
            raise QueueUnavailable(f"{HINTS_FILE} in MODEL_DIR cannot be written to: {error}") from error

    def pending(self) -> dict[int, Pending]:
        """Return the open hints by project id."""
        with self._lock:
            rows = self._db.execute(
                "SELECT project, min(at), max(at), count(*), group_concat(DISTINCT reason), max(id) "
                "FROM hints GROUP BY project"
            ).fetchall()
        return {
            project: Pending(first, last, count, frozenset(reasons.split(",")), upto)
            for project, first, last, count, reasons, upto in rows
        }

    def take(self, project_id: int) -> int:
        """Return the id up to which a refresh that starts now sees a project's hints; 0 without hints."""
        with self._lock:
            row = self._db.execute("SELECT max(id) FROM hints WHERE project = ?", (project_id,)).fetchone()
        return int(row[0] or 0)

    def done(self, project_id: int, upto: int) -> None:
        """Forget the hints a finished refresh has seen; later ones stay."""
        with self._lock:
            self._db.execute("DELETE FROM hints WHERE project = ? AND id <= ?", (project_id, upto))

    def newest(self) -> int:
        """Return the id of the newest hint ever given, open or not; it grows with every `add`."""
        with self._lock:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'hints'").fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
