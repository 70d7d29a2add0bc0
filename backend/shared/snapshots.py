"""A project's snapshot as one object: copied while others read and write it, checked before it is believed."""

from __future__ import annotations

import gzip
import re
import shutil
import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from backend.shared.bucket import SharedFolderError

_COPY = ".snapshot-copy"
_BLOCK = 2**20
# the largest snapshot that is unpacked: a few million tasks
_MOST_BYTES = 64 * 2**30
_NAME = re.compile(
    r"(?P<turn>[0-9]{16})-(?P<number>[0-9]{6})-(?P<writer>[0-9a-f]{12})\.(?P<kind>sqlite\.gz|writing)"
)


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """One entry of a project's log of turns, in their order.

    Attributes
    ----------
    turn : int
        Whose holder began later has the higher one, so that what a holder writes after it lost the project counts
        for nothing.
    number : int
        How many entries the turn had before.
    writer : str
        The process.
    kind : 'sqlite.gz' or 'writing'
        A snapshot, or the mark that Label Studio is being written to and no snapshot tells yet what stands there.
    """

    turn: int
    number: int
    writer: str
    kind: str

    @property
    def name(self) -> str:
        """The object's name."""
        return f"{self.turn:016d}-{self.number:06d}-{self.writer}.{self.kind}"

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a snapshot."""
        return self.kind == "sqlite.gz"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the entry of a name; None where it is no entry's."""
        found = _NAME.fullmatch(name)
        return (
            cls(int(found["turn"]), int(found["number"]), found["writer"], found["kind"]) if found else None
        )


def pack(database: Path, folder: Path) -> Path:
    """Write a consistent copy of a database that is in use, compressed, into a folder; return its path."""
    copy, packed = folder / f"{_COPY}.sqlite", folder / f"{_COPY}.sqlite.gz"
    for path in (copy, packed):
        path.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(database, timeout=10)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            target.execute("PRAGMA synchronous=OFF")
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # all of it is in the one file
        with copy.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as out:
            shutil.copyfileobj(plain, out, _BLOCK)
    finally:
        copy.unlink(missing_ok=True)
    return packed


def unpack(packed: Path, database: Path) -> None:
    """Make a database what a packed one says, in one transaction: whoever has it open goes on reading.

    Raises
    ------
    SharedFolderError
        If it is damaged, or anything else than plain tables is in it.
    """
    copy = packed.with_suffix("")
    try:
        _inflate(packed, copy)
        # nothing is written, no journal is looked for, and no function is run by what stands in it
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as source:
            source.execute("PRAGMA trusted_schema=OFF")
            source.execute("PRAGMA cell_size_check=ON")
            _check(source)
            with closing(sqlite3.connect(database, timeout=30)) as target:
                source.backup(target)
    except (sqlite3.DatabaseError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        if isinstance(error, sqlite3.OperationalError):  # the disk, or the database here
            raise
        raise SharedFolderError(f"a snapshot in MODEL_DIR is damaged: {error}") from error
    finally:
        copy.unlink(missing_ok=True)


def _inflate(packed: Path, target: Path) -> None:
    done = 0
    with gzip.open(packed, "rb") as source, target.open("wb") as out:
        while block := source.read(_BLOCK):
            done += len(block)
            if done > _MOST_BYTES:
                raise SharedFolderError(
                    f"a snapshot in MODEL_DIR unpacks to more than {_MOST_BYTES >> 30} GB"
                )
            out.write(block)


def _check(source: sqlite3.Connection) -> None:
    # no triggers, views and virtual tables; the indices of primary keys have no text
    strange = [
        f"{kind} {name}"
        for kind, name, sql in source.execute("SELECT type, name, sql FROM sqlite_master")
        if sql is not None and not (kind == "table" and sql.upper().startswith("CREATE TABLE "))
    ]
    if strange:
        raise SharedFolderError(f"a snapshot in MODEL_DIR is not Lineup's: it has {', '.join(strange)}")
    (said,) = source.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
