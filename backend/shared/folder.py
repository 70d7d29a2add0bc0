"""`MODEL_DIR` as a URL: its bucket, its projects, and the working folder of this machine."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from functools import lru_cache
from pathlib import Path

from backend.settings import Settings
from backend.shared.bucket import Bucket, Vanished
from backend.shared.project import SharedProject
from backend.shared.vectors import SharedVectors
from backend.shared.watched import Watched

log = logging.getLogger(__name__)

_CONNECTED = "connected"
# seconds between looks for projects that were connected elsewhere
KNOWN_EVERY = 2.0


class SharedFolder:
    """What all machines share, as one process sees it.

    Parameters
    ----------
    bucket : Bucket
    folder : Path
        The working folder of this machine.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket = bucket
        self.folder = folder
        self._lock = threading.Lock()
        self._projects: dict[int, SharedProject] = {}
        self._known = Watched(self._ask_known, self._last_known, KNOWN_EVERY)

    def project(self, project_id: int) -> SharedProject:
        """Return a project; the same object every time."""
        with self._lock:
            if project_id not in self._projects:
                place = f"projects/{project_id}"
                self._projects[project_id] = SharedProject(
                    self.bucket.at(place), project_id, self.folder / place
                )
            return self._projects[project_id]

    def vectors(self, fingerprint: str) -> SharedVectors:
        """Return the vectors of an embedder."""
        return SharedVectors(self.bucket.at(f"vectors/{fingerprint}"))

    def known(self) -> list[int]:
        """Return the projects that any machine is connected to, ascending, as of about two seconds ago."""
        return self._known.get()

    def connect(self, project_id: int) -> None:
        """Let all machines know a project."""
        if project_id not in self._known.get():
            self.bucket.put(f"{_CONNECTED}/{project_id}", b"")
            self._known.note(sorted({*self._known.get(), project_id}))

    def forget(self, project_id: int) -> None:
        """Let no machine look after a project any more; its state stays."""
        self.bucket.delete([f"{_CONNECTED}/{project_id}"])
        self._known.note([known for known in self._known.get() if known != project_id])

    def set_aside(self, project_id: int, name: str) -> None:
        """Move all that is kept of a project to another name: its id is another project's now."""
        self.bucket.move(f"projects/{project_id}", f"projects/{name}")
        self.project(project_id).begin_anew()

    def round_trip(self) -> float:
        """Write, read, list and delete an object; return the seconds it took to write and read it.

        Raises
        ------
        SharedFolderError
            If any of it fails.
        """
        name, data = f"doctor/{uuid.uuid4().hex}", uuid.uuid4().bytes
        began = time.monotonic()
        self.bucket.put(name, data)
        try:
            if self.bucket.get(name) != data:
                raise Vanished(
                    f"{self.bucket.url}/{name} is another one's: a store that forgets cannot be used"
                )
            took = time.monotonic() - began
            self.bucket.list("doctor")
        finally:
            self.bucket.delete([name])
        return took

    def _ask_known(self) -> list[int]:
        names = [entry.name for entry in self.bucket.list(_CONNECTED)]
        return sorted(int(name) for name in names if name.isdecimal() and name.isascii())

    def _last_known(self) -> list[int]:
        root = self.folder / "projects"
        return (
            sorted(int(path.name) for path in root.iterdir() if path.name.isdigit()) if root.is_dir() else []
        )


def share(settings: Settings) -> SharedFolder | None:
    """Return what `MODEL_DIR` shares with other machines; None where it is a path.

    Raises
    ------
    SharedFolderError
        If the store's library is not installed.
    """
    return _open(settings.model_url, settings.model_dir) if settings.model_url else None


@lru_cache(maxsize=8)
def _bucket(url: str) -> Bucket:
    return Bucket(url)


@lru_cache(maxsize=8)
def _open(url: str, folder: Path) -> SharedFolder:
    folder.mkdir(parents=True, exist_ok=True)
    return SharedFolder(_bucket(url), folder)
