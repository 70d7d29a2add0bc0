"""Published versions in an object store: the working folder holds those that were asked for."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

from backend.registry import UNTRAINED, Version, VersionNotFound, VersionRegistry, is_version
from backend.shared.bucket import SharedFolderError, Vanished
from backend.shared.project import PUBLISHED, SharedProject

log = logging.getLogger(__name__)

HEAD, MANIFEST, MARK = "head.safetensors", "manifest.json", "was_published"
# seconds after which a version that is only here is none that is just being stored
_OLD = 3600.0


class SharedRegistry(VersionRegistry):
    """A registry that other machines read and, with the project's lease, write to.

    A version is written head first: its manifest makes it visible. ``published`` is one object, replaced by one PUT.
    Versions never change, so what was fetched is kept; where the store is away, what was served last still is.

    Parameters
    ----------
    root : Path
        Folder of the versions on this machine.
    shared : SharedProject
    """

    def __init__(self, root: Path, shared: SharedProject) -> None:
        super().__init__(root)
        self._shared = shared
        self._objects = shared.objects
        self._listed: list[str] | None = None

    def save(self, version: Version) -> None:
        """Store a version without publishing it, here and there."""
        shutil.rmtree(self.root / version.id, ignore_errors=True)  # what could not be pushed
        super().save(version)
        for name in (HEAD, MANIFEST):
            self._objects.push(self.root / version.id / name, f"versions/{version.id}/{name}")
        self._listed = None

    def publish(self, version_id: str) -> None:
        """Make a stored version the one that is served, on all machines."""
        self._require(version_id)
        self._objects.put(f"versions/{version_id}/{MARK}", b"")
        self._objects.put(PUBLISHED, version_id.encode())
        self._shared.published.note(version_id)
        self._listed = None
        self._serve_here(version_id)

    def unpublish(self) -> None:
        """Serve no version, on any machine."""
        if self._shared.published.get() is not None:
            self._objects.delete([PUBLISHED])
            self._shared.published.note(None)
        super().unpublish()

    def was_published(self, version_id: str) -> bool:
        """Tell whether a version was ever served."""
        return f"{version_id}/{MARK}" in self._names_there()

    def published(self) -> str | None:
        """Return the id of the version served, as of about a second ago: a new one once it is here whole."""
        version, before = self._shared.published.get(), super().published()
        if version == before:
            return version
        if version is None:
            super().unpublish()
            return None
        try:
            self._require(version)
            if not (self.root / version / HEAD).is_file():
                self._fetch(version, HEAD)
                self._forget_old()
        except (SharedFolderError, Vanished, VersionNotFound) as error:
            log.warning("version %.80s cannot be had, %s is served: %s", version, before or UNTRAINED, error)
            return before
        self._serve_here(version)
        return version

    def load(self, version_id: str) -> Version:
        """Return a stored version, fetched once."""
        self._require(version_id)
        if not (self.root / version_id / HEAD).is_file():
            self._fetch(version_id, HEAD)
        return super().load(version_id)

    def ids(self) -> list[str]:
        """Return the versions stored there, oldest first."""
        whole = {name.split("/")[0] for name in self._names_there() if name.endswith(f"/{MANIFEST}")}
        return [name for name in super().ids() if name in whole]

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest ``keep`` versions and the published one, here and there; return what went."""
        ids, served = self.ids(), self.published()
        gone = [name for name in ids[: -keep or None] if name != served]
        # without its manifest nobody finds a version
        self._objects.delete(f"versions/{name}/{file}" for name in gone for file in (MANIFEST, HEAD, MARK))
        self._listed = None if gone else self._listed
        self._forget_old()
        return gone

    def _names(self) -> list[str]:
        return sorted({name.split("/")[0] for name in self._names_there()})

    def _names_there(self) -> list[str]:
        """Return the objects of all versions, listed once: a registry is opened anew for each refresh."""
        if self._listed is None:
            self._listed = [entry.name for entry in self._objects.list("versions")]
        return self._listed

    def _require(self, version_id: str) -> None:
        if is_version(version_id) and version_id != UNTRAINED:
            if (self.root / version_id / MANIFEST).is_file():
                return
            try:
                self._fetch(version_id, MANIFEST)
                return
            except Vanished:
                known = ", ".join(self.ids()) or "none yet"
        else:
            known = "none of this name"
        raise VersionNotFound(
            f"version {version_id!r} of project {self._shared.id} is not in MODEL_DIR={self._objects.url}; "
            f"stored versions: {known}"
        )

    def _fetch(self, version_id: str, name: str) -> None:
        self._objects.fetch_whole(f"versions/{version_id}/{name}", self.root / version_id / name)

    def _serve_here(self, version_id: str) -> None:
        """Remember here what is served, for the time when the store is away."""
        super().publish(version_id)

    def _forget_old(self) -> None:
        """Delete versions here that are not stored there any more."""
        there, old = set(self.ids()), time.time() - _OLD
        for path in self.root.iterdir():
            if is_version(path.name) and path.name not in there and path.stat().st_mtime < old:
                shutil.rmtree(path, ignore_errors=True)
