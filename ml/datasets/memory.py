"""Remember which content is in which file, and what its image measures, so that a file is read once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

_ASKED = 500  # files a query
_PATIENCE = 60.0  # seconds another process may write
# a file may change twice within one tick of its clock: one so young is read again the next time
_SETTLED = 2.0


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells whether a file has changed: its size in bytes and its time of change in nanoseconds."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Ask the file system.

        Raises
        ------
        OSError
            If there is no such file.
        """
        found = os.stat(path)
        return cls(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Seen:
    """The content of an image file: its key, and its measures by `ml.quality.measure`, float32 of shape (7,)."""

    key: str
    measures: np.ndarray


class FileMemory:
    """What is known of image files, in an SQLite file that several processes may use at a time.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=_PATIENCE)
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, key TEXT) "
                "WITHOUT ROWID"
            )
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS contents (key TEXT PRIMARY KEY, measures BLOB) WITHOUT ROWID"
            )

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[FileMemory]:
        """Open, and close at the end."""
        memory = cls(path)
        try:
            yield memory
        finally:
            memory._db.close()

    def recall(self, states: Mapping[Path, FileState]) -> dict[Path, Seen]:
        """Return what is known of files that have not changed since."""
        found: dict[Path, Seen] = {}
        names = iter(states)
        while asked := {os.fsencode(path.absolute()): path for path in islice(names, _ASKED)}:
            rows = self._db.execute(
                "SELECT path, size, changed, key, measures FROM files JOIN contents USING (key) "
                f"WHERE path IN ({', '.join('?' * len(asked))})",
                list(asked),
            )
            for name, size, changed, key, measures in rows:
                path = asked[name]
                if FileState(size, changed) == states[path]:
                    found[path] = Seen(key, np.frombuffer(measures, dtype="<f4"))
        return found

    def content(self, key: str) -> Seen | None:
        """Return what is known of a content, under whatever name it was seen."""
        row = self._db.execute("SELECT measures FROM contents WHERE key = ?", (key,)).fetchone()
        return Seen(key, np.frombuffer(row[0], dtype="<f4")) if row else None

    def remember(self, files: Iterable[tuple[Path, FileState, Seen]]) -> None:
        """Keep the content of files."""
        settled = time.time_ns() - int(_SETTLED * 1e9)
        files = list(files)
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO contents VALUES (?, ?)",
                ((seen.key, np.asarray(seen.measures, dtype="<f4").tobytes()) for _, _, seen in files),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (
                    (os.fsencode(path.absolute()), state.size, state.changed, seen.key)
                    for path, state, seen in files
                    if state.changed < settled
                ),
            )
