"""What is known of a project's trainings: one small JSON file; it is the request as well as the result."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from backend.settings import Settings
from backend.shared.folder import share
from backend.status import TRAINING_FILE as FILE
from backend.status import replace_text

log = logging.getLogger(__name__)

# labels from which on a project is trained without being asked: of fewer than forty held out no likely gain would show
FIRST_LABELS = 200
# starts without an end, by whatever kills the process, after which a training counts as failed
ATTEMPTS = 3

State = Literal["none", "waiting", "running", "published", "kept", "failed", "dropped"]


@dataclass(frozen=True)
class TrainingRecord:
    """The last training of a project.

    Attributes
    ----------
    state : str
        ``none``, ``waiting``, ``running``, or how it ended: ``published``, ``kept`` (the new backbone was not better),
        ``failed``, ``dropped`` (a person went back to the setting's).
    config : dict
        What was asked for, a `ml.training.config.TrainingConfig`.
    force : bool
        Whether to publish it anyway.
    asked_at, started_at, finished_at : float or None
        Seconds since the epoch.
    step, done, total
        Progress.
    attempts : int
        How often it was begun.
    labels : int
        Labelled tasks when it began.
    before, after : dict of str to float
        Scores of the published backbone and of the new one, see `ml.training.comparison.Comparison`.
    backbone : str or None
        Id of the new one.
    message : str
        What came of it, in a sentence.
    worker : str
        Process and machine.
    """

    state: State = "none"
    config: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    asked_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    step: str = ""
    done: int = 0
    total: int = 0
    attempts: int = 0
    labels: int = 0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    backbone: str | None = None
    message: str = ""
    worker: str = ""

    @property
    def open(self) -> bool:
        """Whether it is to be done, or being done."""
        return self.state in ("waiting", "running")

    def due(self, labels: int) -> bool:
        """Tell whether so many labels are worth a training without being asked: twice those of the last one."""
        return not self.open and labels >= max(FIRST_LABELS, 2 * self.labels)


def read_training(settings: Settings, project_id: int, *, now: bool = True) -> TrainingRecord:
    """Return what is known of a project's trainings, on whatever machine: as it is ``now``, or as of a second ago."""
    text: str | None
    if shared := share(settings):
        watched = shared.project(project_id).training
        text = watched.ask() if now else watched.get()
    else:
        path = settings.project_dir(project_id) / FILE
        text = path.read_text(encoding="utf-8") if path.exists() else None
    if text is None:
        return TrainingRecord()
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        log.warning("project %d: %s is not JSON (%s); it counts as never trained", project_id, FILE, error)
        return TrainingRecord()
    # one written by another release of Lineup may have more fields
    names = {entry.name for entry in fields(TrainingRecord)}
    return TrainingRecord(**{name: value for name, value in raw.items() if name in names})


def tell_training(settings: Settings, project_id: int, record: TrainingRecord) -> None:
    """Replace it."""
    text = json.dumps(asdict(record))
    if shared := share(settings):
        shared.project(project_id).objects.put(FILE, text.encode())
        shared.project(project_id).training.note(text)
    else:
        replace_text(settings.project_dir(project_id) / FILE, text)


def ask_training(
    settings: Settings, project_id: int, config: dict[str, Any], *, force: bool = False
) -> TrainingRecord:
    """Ask for a training; one that was stopped and is asked for again is taken up.

    Parameters
    ----------
    config : dict
        A `ml.training.config.TrainingConfig`, of what is not left to `ml.training.tune.complete`.
    force : bool
        Publish the new backbone even if it is not better.
    """
    before = read_training(settings, project_id)
    if before.open and (before.config, before.force) == (config, force):
        record = replace(before, state="waiting", attempts=0)
    else:
        record = TrainingRecord(
            "waiting", config=config, force=force, asked_at=time.time(), labels=before.labels
        )
    tell_training(settings, project_id, record)
    return record
