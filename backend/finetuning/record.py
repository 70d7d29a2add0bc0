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

# seconds until a training that was put off is tried again: the first pause, twice as long each time, and the longest
PAUSE, LONGEST_PAUSE = 30.0, 900.0

State = Literal["none", "waiting", "running", "stopped", "published", "kept", "failed", "dropped"]


@dataclass(frozen=True)
class TrainingRecord:
    """The last training of a project.

    Attributes
    ----------
    state : str
        ``none``, ``waiting``, ``running``, ``stopped`` (by the person who asked; asked for again it goes on), or how it
        ended: ``published``, ``kept`` (the new backbone was not better), ``failed``, ``dropped`` (a person called it
        off, or went back to the setting's).
    config : dict
        What was asked for, a `ml.training.config.TrainingConfig`.
    force : bool
        Whether to publish it anyway.
    asked_at, started_at, finished_at : float or None
        Seconds since the epoch. The first tells one request from another.
    step, done, total
        Progress.
    attempts : int
        How often it was begun and did not come to an end of its own.
    put_off : int
        How often it was put off for something that passes.
    not_before : float
        Seconds since the epoch, until which nobody tries it again.
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
    put_off: int = 0
    not_before: float = 0.0
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

    @property
    def ready(self) -> bool:
        """Whether it is to be done now."""
        return self.open and time.time() >= self.not_before

    def goes_on(self, config: dict[str, Any], force: bool) -> bool:
        """Tell whether one that is asked for like this is this one, taken up."""
        if self.state == "kept":  # what was not better is published after all
            return force and self.config == config
        return (self.open or self.state == "stopped") and (self.config, self.force) == (config, force)

    def postponed(self, attempts: int, message: str) -> TrainingRecord:
        """Return it as it waits for something to pass; each time longer."""
        pause = min(PAUSE * 2**self.put_off, LONGEST_PAUSE)
        return replace(
            self, state="waiting", attempts=attempts, message=message,
            put_off=self.put_off + 1, not_before=time.time() + pause,
        )  # fmt: skip

    def ended(self, state: State, message: str) -> TrainingRecord:
        """Return it as it is once it has ended."""
        return replace(
            self, state=state, message=message, finished_at=time.time(), step="", done=0, total=0
        )  # fmt: skip

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
    settings: Settings, project_id: int, config: dict[str, Any], *, force: bool = False, labels: int = 0
) -> TrainingRecord:
    """Ask for a training; one that was stopped and is asked for again is taken up.

    Parameters
    ----------
    config : dict
        A `ml.training.config.TrainingConfig`, of what is not left to `ml.training.tune.complete`.
    force : bool
        Publish the new backbone even if it is not better.
    labels : int
        How many there are, as far as is known: one that fails at once is then not asked for again until they have
        doubled.
    """
    before = read_training(settings, project_id)
    labels = max(before.labels, labels)
    if before.goes_on(config, force):
        record = replace(
            before,
            state="waiting",
            force=force,
            attempts=0,
            put_off=0,
            not_before=0.0,
            finished_at=None,
            labels=labels,
        )
    else:
        record = TrainingRecord("waiting", config=config, force=force, asked_at=time.time(), labels=labels)
    tell_training(settings, project_id, record)
    return record
