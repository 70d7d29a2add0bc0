"""Put a finished export where it was asked for: whole or not at all, and never over something else."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# in a folder: the names Lineup wrote there, so that another one may take its place, and nothing else is lost with it
MARKER = ".lineup-export"
_SHOWN = 5


def refuse_overwrite(out: Path, *, force: bool) -> None:
    """See that ``out`` may be written.

    Raises
    ------
    FileExistsError
        If it is there without ``force``, or is a folder that Lineup did not write, or that holds more than it wrote.
    """
    if not os.path.lexists(out):
        return
    if not force:
        raise FileExistsError(f"{out} exists; choose another --out, or write over it with --force")
    if out.is_dir() and not (out / MARKER).exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is a folder that was not written by an export; remove it yourself")
    if out.is_dir() and (others := _others(out)):
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        raise FileExistsError(f"{out} also holds {shown}, which Lineup did not write: move that away first")


def _others(folder: Path) -> list[str]:
    """Return what is in a folder besides what Lineup wrote."""
    if not (folder / MARKER).exists():
        return []
    ours = {MARKER, *(folder / MARKER).read_text(encoding="utf-8", errors="surrogateescape").split("\n")}
    return sorted(path.name for path in folder.iterdir() if path.name not in ours)


@contextmanager
def placed(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a path beside ``out`` to write a file or folder to; at the end it takes ``out``'s place.

    An error, or a kill, leaves ``out`` as it was.
    """
    out = out.absolute()
    refuse_overwrite(out, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        yield draft
        if draft.is_dir():
            names = "\n".join(sorted(path.name for path in draft.iterdir()))
            (draft / MARKER).write_text(names, encoding="utf-8", errors="surrogateescape")
        refuse_overwrite(out, force=force)
        _replace(draft, out)
    finally:
        _remove(draft)


def add_to_folder(folder: Path, name: str) -> None:
    """Note that a file was written into a folder made by `placed`, so that another folder may take its place."""
    marker = folder / MARKER
    names = marker.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    if name not in names:
        marker.write_text("\n".join([*names, name]), encoding="utf-8", errors="surrogateescape")


def _replace(draft: Path, out: Path) -> None:
    if draft.is_file():
        with draft.open("rb") as file:
            os.fsync(file.fileno())
    if out.is_dir() or (draft.is_dir() and os.path.lexists(out)):
        # a folder cannot be replaced in one step: the old one steps aside first
        aside = out.with_name(f".{out.name}.old.{uuid.uuid4().hex}")
        out.rename(aside)
        try:
            draft.rename(out)
        except BaseException:
            aside.rename(out)
            raise
        _remove(aside)
        return
    os.replace(draft, out)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
