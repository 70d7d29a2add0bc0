"""Hints that a project may have changed, kept in one SQLite file until a refresh that saw them has ended."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.jobs.base import Pending, QueueUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hints (
    id INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS hints_project ON hints (project, id);
"""
HINTS_FILE = "hints.sqlite"
# seconds to wait for another process
PATIENCE = 5.0


class HintStore:
    """The embedded mode's `Hints`: open hints, written by any process in well under a millisecond and lost by none.

    Losing power may lose the last moments' hints: the poll finds those changes. The file is opened when it is first
    needed, and again after a failure, so that a disk that is full or read-only stops nothing but hints.

    Parameters
    ----------
    model_dir : Path
        Folder that gets ``hints.sqlite``.
    clock : callable
        Seconds since the epoch.
    """

    def __init__(self, model_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = model_dir / HINTS_FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

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
        with self._open() as db:
            db.execute(
                "INSERT INTO hints (project, reason, at) VALUES (?, ?, ?)",
                (project_id, reason, self._clock()),
            )

    def pending(self) -> dict[int, Pending]:
        """Return the open hints by project id."""
        with self._open() as db:
            rows = db.execute(
                "SELECT project, min(at), max(at), count(*), group_concat(DISTINCT reason), max(id) "
                "FROM hints GROUP BY project"
            ).fetchall()
        return {
            project: Pending(first, last, count, frozenset(reasons.split(",")), upto)
            for project, first, last, count, reasons, upto in rows
        }

    def take(self, project_id: int) -> int:
        """Return the id up to which a refresh that starts now sees a project's hints; 0 without hints."""
        with self._open() as db:
            row = db.execute("SELECT max(id) FROM hints WHERE project = ?", (project_id,)).fetchone()
        return int(row[0] or 0)

    def done(self, project_id: int, upto: int) -> None:
        """Forget the hints a finished refresh has seen; later ones stay."""
        with self._open() as db:
            db.execute("DELETE FROM hints WHERE project = ? AND id <= ?", (project_id, upto))

    def newest(self) -> int:
        """Return the id of the newest hint ever given, open or not; it grows with every `add`."""
        with self._open() as db:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'hints'").fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time.

        Raises
        ------
        QueueUnavailable
            If the file cannot be used.
        """
        with self._lock:
            try:
                if self._db is None:
                    self._db = _connect(self._path)
                yield self._db
            except (OSError, sqlite3.Error) as error:
                self._drop()
                raise QueueUnavailable(f"{HINTS_FILE} in MODEL_DIR cannot be used: {error}") from error

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False, isolation_level=None)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            try:
                db.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # SQLite does not wait here for another process that does the same
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db
