"""Segments of a vector store that many machines share: fetched where they hold what is looked for."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ml.segments import (
    KEYS,
    ROWS,
    TEMPORARY,
    Segment,
    SegmentCorrupt,
    find_keys,
    read_keys,
    remove_segment,
    segment_names,
)

log = logging.getLogger(__name__)

# keys of a segment whose rows nobody here has asked for
KNOWN = ".known.npy"
# seconds after which rows without keys are what a killed upload left
_DEBRIS_AGE = 24 * 3600.0
# listings until a segment that is listed, and is not there, counts as damaged
_LISTINGS = 5


class Remote(Protocol):
    """Where all machines put the files of one store; a file appears whole or not at all, and never changes."""

    def files(self) -> Mapping[str, float]:
        """Return the names of the files there, with their age in seconds."""
        ...

    def fetch(self, name: str, target: Path) -> None:
        """Copy a file; raises FileNotFoundError if it is not there any more."""
        ...

    def push(self, source: Path, name: str) -> None:
        """Add a file."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, in this order; those that are gone already are no error."""
        ...


class Elsewhere:
    """One folder's view of a `Remote`.

    Keys (16 bytes a vector) are fetched of every segment, rows only where a key that is looked for is among them.
    What is visible in the folder is whole; the remote has it, or had it and has merged it since.

    Parameters
    ----------
    folder : Path
    remote : Remote
    dim : int
        Length of a vector.
    """

    def __init__(self, folder: Path, remote: Remote, dim: int) -> None:
        self.folder = folder
        self.remote = remote
        self.dim = dim
        self._bad: set[str] = set()

    def bring(self, packed: np.ndarray) -> bool:
        """Fetch the segments that hold any of these keys, shape (n,), and are not here; return whether any came.

        The caller counts as one who writes to the folder.
        """
        came = False
        with (self.folder / "fetch.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of a machine fetch nothing twice
            for left in reversed(range(_LISTINGS)):
                before = segment_names(self.folder)
                there = self.names()
                vanished = False
                for name in sorted(there - before):
                    try:
                        came |= self._bring(name, packed)
                    except FileNotFoundError as error:
                        vanished = True  # merged since it was listed: the new one is in the next listing
                        if not left:
                            self._spoilt(name, error)
                if not vanished:
                    break
            self._forget(before - there, there)
        return came

    def names(self) -> set[str]:
        """Return the segments that are visible there."""
        return {name.removesuffix(KEYS) for name in self.remote.files() if name.endswith(KEYS)} - self._bad

    def push(self, path: Path, name: str) -> None:
        """Add a file that is about to become visible here."""
        self.remote.push(path, name)

    def replace(self, old: Iterable[str]) -> None:
        """Delete segments that were merged, and what killed uploads left long ago."""
        old = sorted(old)
        # without its keys nobody looks for a segment
        self.remote.delete([name + ending for ending in (KEYS, ROWS) for name in old])
        files = self.remote.files()
        orphans = [
            name
            for name, age in files.items()
            if name.endswith(ROWS) and name.removesuffix(ROWS) + KEYS not in files and age > _DEBRIS_AGE
        ]
        self.remote.delete(orphans)

    def _bring(self, name: str, packed: np.ndarray) -> bool:
        known = self.folder / (name + KNOWN)
        try:
            if not known.exists():
                self._fetch(name + KEYS, known)
            if not len(find_keys(read_keys(known), packed)[0]):
                return False
            self._fetch(name + ROWS, self.folder / (name + ROWS))
            known.rename(self.folder / (name + KEYS))
            Segment(self.folder, name, self.dim)
        except SegmentCorrupt as error:
            self._spoilt(name, error)
            return False
        return True

    def _spoilt(self, name: str, error: Exception) -> None:
        log.warning("segment %s cannot be had (%s); its images are embedded again", name, error)
        self._bad.add(name)
        (self.folder / (name + KNOWN)).unlink(missing_ok=True)
        remove_segment(self.folder, name)

    def _fetch(self, name: str, target: Path) -> None:
        tmp = self.folder / (name + TEMPORARY)
        self.remote.fetch(name, tmp)
        os.replace(tmp, target)

    def _forget(self, gone: set[str], there: set[str]) -> None:
        """Delete here what was merged elsewhere and stands in a segment that is here, too."""
        for path in self.folder.glob("*" + KNOWN):
            if path.name.removesuffix(KNOWN) not in there:
                path.unlink(missing_ok=True)
        shared = [
            keys for name in segment_names(self.folder) & there if (keys := self._keys(name)) is not None
        ]
        for name in gone:
            keys = self._keys(name)
            if keys is not None and _covered(keys, shared):
                remove_segment(self.folder, name)

    def _keys(self, name: str) -> np.ndarray | None:
        try:
            return read_keys(self.folder / (name + KEYS))
        except (
            FileNotFoundError,
            SegmentCorrupt,
        ):  # merged here meanwhile; a damaged one is told when it is opened
            return None


def _covered(keys: np.ndarray, by: Sequence[np.ndarray]) -> bool:
    """Tell whether each of some keys is in one of the others."""
    found: np.ndarray = np.zeros(len(keys), dtype=np.bool_)
    for others in by:
        found[find_keys(others, keys)[0]] = True
    return bool(found.all())
