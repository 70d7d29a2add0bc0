"""Whose turn a project is: its snapshot, pushed by who has it and fetched by who takes it over."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.jobs.base import LeaseLost
from backend.jobs.locks import project_lock
from backend.shared.bucket import Bucket, SharedFolderError, Vanished
from backend.shared.snapshots import Stage, pack, unpack
from backend.shared.watched import Watched
from backend.snapshot import PUBLISHING, SNAPSHOT, SnapshotStore

log = logging.getLogger(__name__)

# seconds between looks of readers
LOOK_EVERY = 1.0
# seconds between pushes of a snapshot while a refresh goes on, and how many times as long as the last one took
PUSH_EVERY, PUSH_SHARE = 60.0, 10.0
_PLACE, _FETCHED = "shared.json", ".fetched.sqlite.gz"
_TRIES = 5


@dataclass(frozen=True, slots=True)
class _Place:
    """What the snapshot of this machine's working folder is.

    Attributes
    ----------
    turn, writer : int or None, str
        The turn in which it was last worked on here, and by which process; None where it was fetched.
    base : str
        The newest entry it includes; empty where it includes none.
    """

    turn: int | None = None
    writer: str = ""
    base: str = ""


class Turns:
    """The snapshots of a project, in the order of those who had it.

    Whoever holds the project's lease *takes* it, and its pushes carry a turn that is higher than all before: what a
    holder that lost it still pushes is older than its successor's. Readers only look.

    Parameters
    ----------
    objects : Bucket
        Where the project's objects are.
    project_id : int
    folder : Path
        The project's working folder on this machine.
    """

    def __init__(self, objects: Bucket, project_id: int, folder: Path) -> None:
        self._objects = objects
        self._project_id = project_id
        self._folder = folder
        self._writer = uuid.uuid4().hex[:12]
        self._turn: int | None = None
        self._number = 0
        self._stages: list[Stage] = []
        self._stamp: tuple[int, ...] | None = None
        self._pushed_at, self._push_took = time.monotonic(), 0.0
        self._looking = threading.Lock()
        self._newest = Watched(self._ask_newest, lambda: None, LOOK_EVERY)

    def begin_anew(self) -> None:
        """Know that there are no snapshots any more; the turn goes on."""
        self._stages, self._stamp = [], None

    def take(self) -> bool:
        """Begin a turn, for whoever holds the project now; return whether another one's state was fetched.

        Where another holder wrote to Label Studio and left no snapshot of what then stood there, the one that was
        fetched says that a publish has not ended.

        Raises
        ------
        SharedFolderError
            If what is there cannot be known: nobody may work on it then.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        fetched = self._catch_up()
        newest = self._stages[-1] if self._stages else None
        self._turn = max(time.time_ns() // 1000, newest.turn + 1 if newest else 0)
        self._number = 0
        self._note(_Place(self._turn, self._writer, newest.name if newest else ""))
        if fetched:
            self._stamp = self._stamp_now()
        self._pushed_at = time.monotonic()
        return fetched

    def announce(self) -> None:
        """Say that Label Studio is about to be written to: the last pushed snapshot will not tell what stands there.

        Raises
        ------
        LeaseLost
            If somebody has written since this turn began.
        """
        if set(self._list()) - set(self._stages):
            raise LeaseLost(f"project {self._project_id} has been taken by another process")
        self._add("writing", b"")

    def keep(self) -> None:
        """Push the snapshot if that was long ago; a failure is told, and the end of the turn tries again."""
        if time.monotonic() - self._pushed_at < max(PUSH_EVERY, PUSH_SHARE * self._push_took):
            return
        try:
            self.push()
        except SharedFolderError as error:
            self._pushed_at = time.monotonic()
            log.warning(
                "project %d: what was done is kept on this machine for now: %s", self._project_id, error
            )

    def push(self) -> None:
        """Push the snapshot if anything in it has changed since it was pushed or fetched."""
        began, stamp = time.monotonic(), self._stamp_now()
        if stamp == self._stamp or not stamp:
            return
        packed = pack(self._folder / SNAPSHOT, self._folder)
        try:
            size = packed.stat().st_size
            older = self._add("sqlite.gz", packed)
        finally:
            packed.unlink(missing_ok=True)
        # a reader may be at the one before
        snapshots = [stage for stage in older if stage.is_snapshot]
        gone = [stage for stage in older if not snapshots or stage < snapshots[-1]]
        self._objects.delete(f"snapshot/{stage.name}" for stage in gone)
        self._stages = [stage for stage in self._stages if stage not in gone]
        self._stamp, self._pushed_at = stamp, time.monotonic()
        self._push_took = self._pushed_at - began
        log.debug(
            "project %d: snapshot of %d bytes pushed in %.2f s", self._project_id, size, self._push_took
        )

    def freshen(self, *, strict: bool = False) -> None:
        """Bring the snapshot up to date for a reader, if nobody on this machine works on it.

        Parameters
        ----------
        strict : bool
            Ask now, and raise `SharedFolderError` if nobody answers, rather than be content with what is here.
        """
        newest = self._newest.ask() if strict else self._newest.get()
        if newest is None or not self._is_news(newest):
            return
        try:
            with self._looking, project_lock(self._folder) as held:
                newest = self._newest.ask()
                if held and newest is not None and self._is_news(newest):
                    self._install(newest)
                    self._note(_Place(base=newest.name))
        except (SharedFolderError, Vanished) as error:
            if strict:
                raise
            log.warning("project %d: its snapshot is not the newest: %s", self._project_id, error)

    def _add(self, kind: str, data: bytes | Path) -> list[Stage]:
        """Write the next entry of this turn; return those before it."""
        assert self._turn is not None, "take the project first"
        stage = Stage(self._turn, self._number, self._writer, kind)
        name = f"snapshot/{stage.name}"
        if isinstance(data, Path):
            self._objects.push(data, name)
        else:
            self._objects.put(name, data)
        self._number += 1
        self._note(_Place(self._turn, self._writer, stage.name))
        older, self._stages = self._stages, [*self._stages, stage]
        return older

    def _catch_up(self) -> bool:
        """Fetch the newest snapshot unless the one here includes it; return whether it was fetched."""
        for left in reversed(range(_TRIES)):
            self._stages = self._list()
            if not self._stages:
                return False
            newest, place = self._stages[-1], self._place()
            # of this machine's own last turn, in which it may have come further than it pushed
            mine = place.turn == newest.turn and place.writer == newest.writer
            if newest.name == place.base or mine:
                return False
            try:
                if snapshots := [stage for stage in self._stages if stage.is_snapshot]:
                    self._install(snapshots[-1])
            except Vanished:  # its successor is in the next listing
                if not left:
                    raise
                continue
            if not newest.is_snapshot:
                log.warning(
                    "project %d: a publish elsewhere did not end: what stands is read anew", self._project_id
                )
                SnapshotStore(self._folder / SNAPSHOT).set_meta(PUBLISHING, True)
            self._note(_Place(base=newest.name))
            return True
        return False

    def _install(self, snapshot: Stage) -> None:
        """Make the snapshot here what one of them says; for who has the folder's lock."""
        packed = self._folder / _FETCHED
        try:
            self._objects.fetch(f"snapshot/{snapshot.name}", packed)
            unpack(packed, self._folder / SNAPSHOT)
        finally:
            packed.unlink(missing_ok=True)
        SnapshotStore(self._folder / SNAPSHOT)  # of an earlier Lineup, perhaps: brought up to date

    def _is_news(self, snapshot: Stage) -> bool:
        """Tell whether a snapshot has what the one here has not."""
        return snapshot.name > self._place().base

    def _list(self) -> list[Stage]:
        stages = [Stage.parse(entry.name) for entry in self._objects.list("snapshot")]
        return sorted(stage for stage in stages if stage is not None)

    def _ask_newest(self) -> Stage | None:
        snapshots = [stage for stage in self._list() if stage.is_snapshot]
        return snapshots[-1] if snapshots else None

    def _place(self) -> _Place:
        try:
            return _Place(**json.loads((self._folder / _PLACE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return _Place()
        except (json.JSONDecodeError, TypeError) as error:
            log.warning("%s is damaged (%s): the snapshot is fetched anew", self._folder / _PLACE, error)
            return _Place()

    def _note(self, place: _Place) -> None:
        tmp = self._folder / f".{_PLACE}.{uuid.uuid4().hex}"
        tmp.write_text(json.dumps(asdict(place)), encoding="utf-8")
        os.replace(tmp, self._folder / _PLACE)

    def _stamp_now(self) -> tuple[int, ...]:
        """Return what changes whenever the database does; empty without one."""
        stamp: list[int] = []
        for name in (SNAPSHOT, f"{SNAPSHOT}-wal"):
            try:
                found = (self._folder / name).stat()
            except FileNotFoundError:
                continue
            stamp += [found.st_mtime_ns, found.st_size]
        return tuple(stamp)
