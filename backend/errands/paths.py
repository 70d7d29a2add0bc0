"""Paths that somebody names over HTTP: below one folder, or nowhere."""

from __future__ import annotations

from pathlib import Path


class NotAllowed(ValueError):
    """A path is not below ``DATA_ROOT``, or there is no ``DATA_ROOT``."""


def below(root: Path | None, name: str) -> Path:
    """Return the path a name stands for, symbolic links followed.

    Parameters
    ----------
    root : Path or None
        ``DATA_ROOT``.
    name : str
        Relative to it, or absolute.

    Raises
    ------
    NotAllowed
        If it is not below the root, whatever it links to, or if there is no root.
    FileNotFoundError
        If nothing is there.
    """
    if root is None:
        raise NotAllowed("paths of this machine are only read where DATA_ROOT says below which folder")
    if "\0" in name:
        raise NotAllowed("a path has no zero byte")
    path, top = (root / name).resolve(), root.resolve()
    if not path.is_relative_to(top):
        raise NotAllowed(f"{name!r} is not below DATA_ROOT")
    try:
        there = path.exists()
    except OSError:  # a name too long for a file
        there = False
    if not there:
        raise FileNotFoundError(f"there is no {name!r} below DATA_ROOT")
    return path
