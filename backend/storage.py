"""Whether ``MODEL_DIR`` can be written to, and what to say where it cannot."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

# about what a version and its status take
ROOM = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_FAILING = frozenset({errno.EIO, errno.ESTALE, errno.EFBIG})
_SQLITE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    }
)
MEANWHILE = "What is published goes on predicting, and Lineup goes on by itself once it can write again"


def find_problem(model_dir: Path) -> str | None:
    """Return why ``MODEL_DIR`` cannot be written to and what to do; None if a megabyte finds room there.

    It is tried, because a quota, a read-only mount and a right that is missing show in no figure of the disk's.
    """
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=model_dir, prefix=".room-") as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError as error:
        return advice(error)
    return None


def is_storage_error(error: BaseException) -> bool:
    """Tell whether an error says that something could not be written or opened for want of room, rights or a disk."""
    if isinstance(error, OSError):
        return error.errno in _FULL | _REFUSED | _FAILING
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE
    # what other languages' libraries raise tells the same in words alone
    return any(f"os error {number}" in str(error) or os.strerror(number) in str(error) for number in _FULL)


def explain(error: BaseException) -> str:
    """Return what to tell of an error: a storage error's advice, or its name and what it says."""
    return advice(error) if is_storage_error(error) else f"{type(error).__name__}: {error}"


def advice(error: BaseException) -> str:
    """Return what a storage error means for the one who runs Lineup."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    number = error.errno if isinstance(error, OSError) else None
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if number in _FULL or code == sqlite3.SQLITE_FULL or any(os.strerror(one) in said for one in _FULL):
        what, do = "is full", "Free some space on it or move it to a larger disk"
    elif number in _REFUSED or code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        what, do = "cannot be written to", "Mount it for writing, and give it to the user that runs Lineup"
    else:
        what, do = "does not work", "Look at its disk and at the system's log"
    return f"MODEL_DIR {what} ({said}). {do}. {MEANWHILE}"
