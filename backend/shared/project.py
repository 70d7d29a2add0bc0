"""One project in an object store: whose turn it is, its status, and which version is served."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

from backend.shared.bucket import Bucket, SharedFolderError, Vanished
from backend.shared.turns import LOOK_EVERY, Turns
from backend.shared.watched import Watched
from backend.status import STATUS_FILE, TRAINING_FILE, Status, parse_status, read_status, write_status

log = logging.getLogger(__name__)

# seconds between pushes of mere progress
TELL_EVERY = 2.0
PUBLISHED = "published"


class SharedProject:
    """A project whose state other machines use, too.

    Parameters
    ----------
    objects : Bucket
        Where its objects are.
    project_id : int
    folder : Path
        Its working folder on this machine.

    Attributes
    ----------
    turns : Turns
        Its snapshots.
    published : Watched
        The id of the version served, None before the first.
    training : Watched
        The record of its trainings, as text; None before the first.
    """

    def __init__(self, objects: Bucket, project_id: int, folder: Path) -> None:
        self.id = project_id
        self.folder = folder
        self.objects = objects
        self.turns = Turns(objects, project_id, folder)
        self.published = Watched(self._ask_published, self._last_published, LOOK_EVERY)
        self._status = Watched(self._ask_status, lambda: read_status(folder), LOOK_EVERY)
        self.training: Watched[str | None] = Watched(self._ask_training, lambda: None, LOOK_EVERY)
        self._told: tuple[tuple[object, ...], float] | None = None

    def take(self) -> bool:
        """Begin a turn, see `Turns.take`, with the version that is served now."""
        fetched = self.turns.take()
        self.published.ask()
        return fetched

    def begin_anew(self) -> None:
        """Know that there is nothing any more."""
        self.turns.begin_anew()
        self.published.note(None)
        self.training.note(None)
        self._status.note(Status())

    def status(self, *, now: bool = False) -> Status:
        """Return the project's status, as of about a second ago or of ``now``; where nobody answers, the last known."""
        if now:
            try:
                return self._status.ask()
            except SharedFolderError as error:
                log.warning("project %d: its status is the last one known here: %s", self.id, error)
        return self._status.get()

    def tell(self, status: Status) -> None:
        """Push the project's status; mere progress only now and then, and a failure does not end the refresh."""
        self._status.note(status)
        said = (status.state, status.step, status.started_at, status.last_refresh, status.last_error)
        now = time.monotonic()
        if self._told and self._told[0] == said and now - self._told[1] < TELL_EVERY:
            return
        self._told = (said, now)
        try:
            self.objects.put(STATUS_FILE, json.dumps(asdict(status)).encode())
        except SharedFolderError as error:
            log.warning("project %d: other machines do not see its status: %s", self.id, error)

    def _ask_status(self) -> Status:
        try:
            raw = self.objects.get(STATUS_FILE)
        except Vanished:
            return Status()
        status = parse_status(raw.decode("utf-8", "replace"), f"the status of project {self.id}")
        write_status(self.folder, status)
        return status

    def _ask_training(self) -> str | None:
        try:
            return self.objects.get(TRAINING_FILE).decode("utf-8", "replace")
        except Vanished:
            return None

    def _ask_published(self) -> str | None:
        try:
            version = self.objects.get(PUBLISHED).decode("utf-8", "replace").strip() or None
        except Vanished:
            version = None
        return version

    def _last_published(self) -> str | None:
        try:
            return (self.folder / "versions" / PUBLISHED).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None
