"""Which content is in which file, and what its image measures: kept, so that a file is read once."""

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
class FileContent:
    """The content of an image file: its key, and its measures by `ml.quality.measure`, float32 of shape (7,)."""

    key: str
    measures: np.ndarray


class FileCache:
    """What is known of image files, in an SQLite file that several processes may use at a time.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    embedder : str
        Fingerprint of the embedder the images are decoded for: a JPEG is decoded as large as that one needs, and
        measures depend on it.
    """

    def __init__(self, path: Path, embedder: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._embedder = embedder
        self._db = sqlite3.connect(path, timeout=_PATIENCE)
        with self._db:
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, key TEXT) "
                "WITHOUT ROWID"
            )
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS measures "
                "(key TEXT, embedder TEXT, measures BLOB, PRIMARY KEY (key, embedder)) WITHOUT ROWID"
            )

    @classmethod
    @contextmanager
    def opened(cls, path: Path, embedder: str) -> Iterator[FileCache]:
        """Open, and close at the end."""
        cache = cls(path, embedder)
        try:
            yield cache
        finally:
            cache._db.close()

    def unchanged(self, states: Mapping[Path, FileState]) -> dict[Path, FileContent]:
        """Return what is known of files that have not changed since."""
        found: dict[Path, FileContent] = {}
        names = iter(states)
        while asked := {os.fsencode(path.absolute()): path for path in islice(names, _ASKED)}:
            rows = self._db.execute(
                "SELECT path, size, changed, key, measures FROM files JOIN measures USING (key) "
                f"WHERE embedder = ? AND path IN ({', '.join('?' * len(asked))})",
                [self._embedder, *asked],
            )
            for name, size, changed, key, measures in rows:
                path = asked[name]
                if FileState(size, changed) == states[path]:
                    found[path] = FileContent(key, np.frombuffer(measures, dtype="<f4"))
        return found

    def find(self, key: str) -> FileContent | None:
        """Return what is known of a content, under whatever name it was seen."""
        row = self._db.execute(
            "SELECT measures FROM measures WHERE key = ? AND embedder = ?", (key, self._embedder)
        ).fetchone()
        return FileContent(key, np.frombuffer(row[0], dtype="<f4")) if row else None

    def keep(self, files: Iterable[tuple[Path, FileState, FileContent]]) -> None:
        """Keep the content of files."""
        settled = time.time_ns() - int(_SETTLED * 1e9)
        files = list(files)
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO measures VALUES (?, ?, ?)",
                (
                    (seen.key, self._embedder, np.asarray(seen.measures, dtype="<f4").tobytes())
                    for _, _, seen in files
                ),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                (
                    (os.fsencode(path.absolute()), state.size, state.changed, seen.key)
                    for path, state, seen in files
                    if state.changed < settled
                ),
            )
