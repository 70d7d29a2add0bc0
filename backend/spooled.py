"""Tasks of a project with the outlines of their masks on disk: those of thousands take gigabytes."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from backend.snapshot import SNAPSHOT, SnapshotStore, TaskRecord


def spool(pages: Iterable[list[TaskRecord]], cache: Path) -> Iterator[list[TaskRecord]]:
    """Yield pages as they come, with the outlines of masks in a file that is there for as long as any of the tasks is.

    Parameters
    ----------
    pages : iterable of list of TaskRecord
    cache : Path
        Folder that the file is in; it is created.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".read-", dir=cache))
    store = SnapshotStore(folder / SNAPSHOT)
    weakref.finalize(store, _remove, folder, os.getpid())  # results refer to the store they are read from
    for page in pages:
        yield store.upsert(page)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a process that was forked only lets go of its own references
        shutil.rmtree(folder, ignore_errors=True)
