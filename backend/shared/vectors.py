"""The vectors of one embedder in an object store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from backend.shared.bucket import Bucket

# a name becomes a path here: whatever else somebody put there is not looked at
_NAME = re.compile(r"[0-9a-f]{32}\.(?:rows|keys)\.npy")


class SharedVectors:
    """The files of one embedder's store; a `ml.elsewhere.Remote`.

    Parameters
    ----------
    place : Bucket
        Where they are.
    """

    def __init__(self, place: Bucket) -> None:
        self._place = place

    def files(self) -> dict[str, float]:
        """Return names and ages, in seconds."""
        return {entry.name: entry.age for entry in self._place.list() if _NAME.fullmatch(entry.name)}

    def fetch(self, name: str, target: Path) -> None:
        """Copy one into a file."""
        self._place.fetch(name, target)

    def push(self, source: Path, name: str) -> None:
        """Add one."""
        self._place.push(source, name)

    def delete(self, names: Iterable[str]) -> None:
        """Delete some, in this order."""
        self._place.delete(names)
