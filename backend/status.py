"""What is going on in each project: one small JSON file, replaced in one step, that anyone may read."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ml.whole_files import write_whole

log = logging.getLogger(__name__)

STATUS_FILE = "status.json"
# of the project's trainings, see `backend.finetuning.record`
TRAINING_FILE = "training.json"


@dataclass(frozen=True)
class LastRefresh:
    """The last refresh that ended well.

    Attributes
    ----------
    version : str
        The version served when it ended.
    finished_at : float
        Seconds since the epoch.
    upto : int
        Id of the newest hint it had seen.
    learned : bool
        Whether it learned a new version.
    tasks, labels, suspects : int
        Tasks of the project, labelled ones, and labelled ones at or above the review threshold.
    accuracy : float or None
        Share of labels the out-of-sample prediction agrees with, in [0, 1]; None without a model.
    expected_wrong : float or None
        How many of the labels that nobody has reviewed are wrong, by the calibrated suspicions; None without a
        model.
    stop : dict or None
        The stop signal, see `backend.classification.stopping.StopSignal`; None without a model.
    note : str or None
        Why there is no model, or that the embedder is a fallback.
    seconds : dict of step name to float
        How long each step took, in seconds.
    written : dict of str to int
        Predictions and field values written.
    """

    version: str
    finished_at: float
    upto: int = 0
    learned: bool = False
    tasks: int = 0
    labels: int = 0
    suspects: int = 0
    expected_wrong: float | None = None
    stop: dict[str, Any] | None = None
    accuracy: float | None = None
    note: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LastError:
    """Why the last refresh failed, when, and up to which hint; gone after one that ends well.

    ``storage``: for want of room, rights or a disk in ``MODEL_DIR``.
    """

    message: str
    at: float
    upto: int = 0
    storage: bool = False


@dataclass(frozen=True)
class Status:
    """State of one project.

    Attributes
    ----------
    state : 'idle', 'running' or 'failed'
    step : str
        What a running refresh is doing.
    done, total : int
        Progress of that step, in items.
    started_at : float or None
        When the running refresh started, seconds since the epoch.
    worker_pid, worker_host : int or None, str
        Process that wrote this, and the machine it runs on.
    counts : dict
        What all refreshes of this project did together, see `backend.tally`.
    """

    state: Literal["idle", "running", "failed"] = "idle"
    step: str = ""
    done: int = 0
    total: int = 0
    started_at: float | None = None
    last_refresh: LastRefresh | None = None
    last_error: LastError | None = None
    worker_pid: int | None = None
    worker_host: str = ""
    counts: dict[str, dict[str, float]] = field(default_factory=dict)


def read_status(project_dir: Path) -> Status:
    """Return a project's status; the default one before the first refresh."""
    path = project_dir / STATUS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Status()
    return parse_status(text, path)


def parse_status(text: str, where: object) -> Status:
    """Return the status that a text holds; the default one, told in the log, where it is damaged."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        # only a disk that lost a write leaves half a file; the next refresh writes it anew
        log.warning("%s is not JSON (%s); starting from an empty status", where, error)
        return Status()
    last, failed = raw.pop("last_refresh", None), raw.pop("last_error", None)
    return Status(
        **_known(Status, raw),
        last_refresh=LastRefresh(**_known(LastRefresh, last)) if last else None,
        last_error=LastError(**_known(LastError, failed)) if failed else None,
    )


def _known(cls: type, raw: dict[str, Any]) -> dict[str, Any]:
    # a file written by another release of Lineup may have more fields
    names = {entry.name for entry in fields(cls)}
    return {name: value for name, value in raw.items() if name in names}


def write_status(project_dir: Path, status: Status) -> None:
    """Replace a project's status."""
    replace_text(project_dir / STATUS_FILE, json.dumps(asdict(status)))


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it finds the old text or the new, whole; its folder is created."""
    write_whole(path, text.encode())
