"""Locks between processes: one refresh and one training at a time for each project, and a sign that a worker lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO


def project_lock(project_dir: Path) -> AbstractContextManager[bool]:
    """Hold the project's refresh lock; gives False, at once, where another process holds it."""
    return _locked(project_dir / "refresh.lock")


def training_lock(project_dir: Path) -> AbstractContextManager[bool]:
    """Hold the project's training lock; gives False, at once, where another process holds it."""
    return _locked(project_dir / "training.lock")


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True  # closing the file releases the lock


def announce_worker(model_dir: Path) -> IO[str]:
    """Show that a worker lives, until the returned file is closed or the process ends."""
    model_dir.mkdir(parents=True, exist_ok=True)
    file = (model_dir / "worker.lock").open("a")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def worker_alive(model_dir: Path) -> bool:
    """Tell whether any worker lives on this folder."""
    path = model_dir / "worker.lock"
    if not path.exists():
        return False
    # some file systems lock only what is open for writing; one that is read-only is asked all the same
    with path.open("a" if os.access(path, os.W_OK) else "r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
