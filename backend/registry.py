"""Published versions of a project's model: a folder each, switched atomically."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

UNTRAINED = "untrained"
_ID = re.compile(r"(?P<kind>[a-z]+)-(?P<counter>[0-9]+)-(?P<digest>[0-9a-f]{8})")


def is_version(name: str) -> bool:
    """Tell whether a model version's name is one that Lineup gives."""
    return name == UNTRAINED or _ID.fullmatch(name) is not None


class VersionNotFound(LookupError):
    """The asked-for version is not in the registry."""


@dataclass(frozen=True)
class Version:
    """One version: its manifest (JSON) and the arrays of its head."""

    id: str
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]


class VersionRegistry:
    """Versions below ``root``: ``<id>/manifest.json`` + ``<id>/head.safetensors``, and the file ``published``.

    A version folder appears complete or not at all, and ``published`` is replaced in one step, so a reader
    always finds a whole version, whatever is killed when.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def next_id(self, kind: str, digest: str) -> str:
        """Return the id of the next version: kind, counter, digest of what it was learned from."""
        counters = [int(match["counter"]) for name in self._names() if (match := _ID.fullmatch(name))]
        return f"{kind}-{max(counters, default=0) + 1}-{digest[:8]}"

    def save(self, version: Version) -> None:
        """Store a version without publishing it."""
        self.root.mkdir(parents=True, exist_ok=True)
        tmp = self.root / f".{version.id}.{uuid.uuid4().hex}"
        tmp.mkdir()
        try:
            save_file(version.arrays, tmp / "head.safetensors")
            (tmp / "manifest.json").write_text(json.dumps(version.manifest, indent=2), encoding="utf-8")
            tmp.rename(self.root / version.id)
        except BaseException:
            shutil.rmtree(tmp, ignore_errors=True)
            raise

    def publish(self, version_id: str) -> None:
        """Make a stored version the one that is served."""
        self._require(version_id)
        tmp = self.root / f".published.{uuid.uuid4().hex}"
        tmp.write_text(version_id, encoding="utf-8")
        (self.root / version_id / "was_published").touch()
        os.replace(tmp, self.root / "published")

    def unpublish(self) -> None:
        """Serve no version, as before the first: the stored ones answer another question than the project asks now."""
        (self.root / "published").unlink(missing_ok=True)

    def was_published(self, version_id: str) -> bool:
        """Tell whether a version was ever served; False for one whose publishing was cut short."""
        return (self.root / version_id / "was_published").exists()

    def published(self) -> str | None:
        """Return the id of the served version, or None before the first."""
        try:
            return (self.root / "published").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def load(self, version_id: str) -> Version:
        """Return a stored version."""
        self._require(version_id)
        return Version(
            version_id, self.manifest(version_id), load_file(self.root / version_id / "head.safetensors")
        )

    def manifest(self, version_id: str) -> dict[str, Any]:
        """Return a stored version's manifest."""
        self._require(version_id)
        manifest: dict[str, Any] = json.loads(
            (self.root / version_id / "manifest.json").read_text(encoding="utf-8")
        )
        return manifest

    def ids(self) -> list[str]:
        """Return the stored versions, oldest first."""
        found = [(int(match["counter"]), name) for name in self._names() if (match := _ID.fullmatch(name))]
        return [name for _, name in sorted(found)]

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest ``keep`` versions and the published one; return what went."""
        gone = [name for name in self.ids()[: -keep or None] if name != self.published()]
        for name in gone:
            shutil.rmtree(self.root / name)
        return gone

    def _names(self) -> list[str]:
        return [path.name for path in self.root.iterdir()] if self.root.is_dir() else []

    def _require(self, version_id: str) -> None:
        if not (_ID.fullmatch(version_id) and (self.root / version_id / "manifest.json").is_file()):
            known = ", ".join(self.ids()) or "none yet"
            raise VersionNotFound(f"version {version_id!r} is not in {self.root}; stored versions: {known}")
