"""A folder to try things in that is gone again afterwards if it was not there before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def standing(folder: Path) -> Iterator[None]:
    """Make a folder and its parents where they are missing; at the end take away those made here that are empty.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for one in missing:
            if any(one.iterdir()):  # a server has begun to use it
                break
            one.rmdir()
