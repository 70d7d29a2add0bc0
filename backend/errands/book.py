"""The record of errands: a JSON file each in ``MODEL_DIR/errands``, replaced in one step."""

from __future__ import annotations

import fcntl
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from backend.status import replace_text

KEPT = 200
STOPPED = "Lineup was stopped meanwhile; ask again"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Errand:
    """One request.

    Attributes
    ----------
    id : str
    kind : str
        A name in `backend.errands.bodies.BODIES`.
    ask : dict
        The body.
    state : 'waiting', 'running', 'done' or 'failed'
    step, done, total : str, int, int
        Progress of a running one.
    result : dict or None
    error : str or None
        Why it failed.
    at : float
        When it was asked for, seconds since the epoch.
    """

    id: str
    kind: str
    ask: dict[str, Any]
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    step: str = ""
    done: int = 0
    total: int = 0
    result: dict[str, Any] | None = None
    error: str | None = None
    at: float = field(default_factory=time.time)


class UnknownErrand(LookupError):
    """There is no errand of this id."""


class ErrandBook:
    """Errands on disk.

    Parameters
    ----------
    model_dir : Path
    """

    def __init__(self, model_dir: Path) -> None:
        self.folder = model_dir / "errands"
        self._ended: set[str] = set()

    def add(self, kind: str, ask: dict[str, Any]) -> Errand:
        """Write down a new errand; the oldest records beyond 200 are forgotten."""
        errand = Errand(uuid.uuid4().hex, kind, ask)
        self.write(errand)
        by_age = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in by_age[:-KEPT]:
            path.unlink(missing_ok=True)
        return errand

    def write(self, errand: Errand) -> None:
        """Replace an errand's record."""
        replace_text(self._path(errand.id), json.dumps(asdict(errand)))

    def read(self, errand_id: str) -> Errand:
        """Return an errand.

        Raises
        ------
        UnknownErrand
            If there is none.
        """
        if not _ID.fullmatch(errand_id):
            raise UnknownErrand(f"no errand {errand_id[:40]!r}")
        try:
            return Errand(**json.loads(self._path(errand_id).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UnknownErrand(
                f"no errand {errand_id}: only the server that took one knows it, and that forgets all but {KEPT}"
            ) from None

    def waiting(self) -> list[Errand]:
        """Return the errands that wait, by when they were asked for."""
        return [errand for errand in self._open() if errand.state == "waiting"]

    @contextmanager
    def held(self) -> Iterator[Callable[[], bool]]:
        """Give a question: whether this process is the one that runs errands; what a dead one ran has failed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "runner.lock").open("ab") as file:
            mine = False

            def ask() -> bool:
                nonlocal mine
                if not mine:
                    with suppress(BlockingIOError):
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        mine = True
                        self._give_up()
                return mine

            yield ask

    def _give_up(self) -> None:
        for errand in self._open():
            if errand.state == "running":
                self.write(replace(errand, state="failed", error=STOPPED))

    def _open(self) -> list[Errand]:
        """Return the errands that have not ended; those that have, with results of megabytes, are read once."""
        found = []
        ids = [path.stem for path in self.folder.glob("*.json")] if self.folder.is_dir() else []
        self._ended.intersection_update(ids)
        for errand_id in ids:
            if errand_id in self._ended:
                continue
            with suppress(UnknownErrand):  # forgotten since the folder was listed
                errand = self.read(errand_id)
                if errand.state in ("done", "failed"):
                    self._ended.add(errand_id)
                else:
                    found.append(errand)
        return sorted(found, key=lambda errand: errand.at)

    def _path(self, errand_id: str) -> Path:
        return self.folder / f"{errand_id}.json"
