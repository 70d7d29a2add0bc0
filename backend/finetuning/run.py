"""One training of a project: plan, train, compare, and if it is better embed all images and publish."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.embedding.parts import EmbeddingParts
from backend.finetuning.embed import embed_contents
from backend.finetuning.leftovers import FOLDER, clean, clean_images
from backend.finetuning.plan import Plan, make_plan, read_plan, require_classes, write_plan
from backend.finetuning.record import ATTEMPTS, State, TrainingRecord, read_training, tell_training
from backend.jobs.base import LeaseLost, QueueUnavailable, Stopped
from backend.jobs.open import open_hints
from backend.labelstudio.config import find_kind
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.fetch import ImageFetchError
from backend.logs import log_fields
from backend.project import open_backbones, open_registry
from backend.refresh import Refresher
from backend.settings import Settings
from backend.shared.bucket import SharedFolderError
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, SnapshotStore
from backend.storage import explain, is_storage_error
from ml.datasets import Example

if TYPE_CHECKING:
    from ml.training.comparison import Comparison
    from ml.training.config import TrainingConfig
    from ml.training.loop import TrainingProgress
    from ml.training.tune import Tuned

log = logging.getLogger(__name__)

TELL_EVERY = 2.0
# whatever else runs on the machine comes first
NICENESS = 15

Progress = Callable[[str, int, int], None]


class CalledOff(Stopped):
    """Somebody called the training off, or asked for another one."""


def run_training(
    settings: Settings,
    project_id: int,
    *,
    check: Callable[[], None] = lambda: None,
    progress: Progress = lambda step, done, total: None,
    timeout: tuple[type[Exception], ...] | type[Exception] = (),
) -> TrainingRecord:
    """Do the training that a project's record asks for, or take it up where it was stopped.

    For whoever holds the project's training, see `backend.jobs.locks.training_lock`. Nothing the loop serves changes
    before the new backbone is stored, compared and has a vector of every image.

    Parameters
    ----------
    check : callable
        Raises `Stopped` or `LeaseLost` where the training must not go on; it stays open then.
    progress : callable
        Told of the step and how many of how many are done.
    timeout : type of Exception
        What breaks it off after `JOB_TIMEOUT`.

    Returns
    -------
    TrainingRecord
        What came of it. A failure is told there, too, and raised.

    Raises
    ------
    Stopped, LeaseLost
        From ``check``; `CalledOff` where it is no longer asked for.
    Exception
        Whatever made it fail. What passes by itself (Label Studio or the disk is away, time is up) puts it off: what is
        done is kept, and it does not count as a try.
    """
    record = read_training(settings, project_id)
    if not record.open:
        return record
    with log_fields(project=project_id, job="training"):
        if record.attempts >= ATTEMPTS:
            why = (
                f"given up after {ATTEMPTS} tries: its process ended in the middle each time, for want of memory "
                "perhaps; see its log"
            )
            ended = record.ended("failed", why)
            tell_training(settings, project_id, ended)
            log.error("project %d: training: %s", project_id, why)
            clean(settings, project_id)
            return ended
        training = _Training(settings, project_id, record, check, progress)
        try:
            return training.run()
        except CalledOff:
            log.info("project %d: the training is no longer asked for", project_id)
            clean(settings, project_id)
            raise
        except (Stopped, LeaseLost):
            training.let_wait(replace(training.record, state="waiting", attempts=record.attempts))
            raise
        except KeyboardInterrupt:
            training.end("stopped", "stopped by a person; asked for again, it goes on", attempts=0)
            raise
        except timeout:
            why = (
                f"broken off after JOB_TIMEOUT={settings.job_timeout} seconds: {training.record.step or 'starting'}. "
                "It goes on where it was; a larger JOB_TIMEOUT spares the break"
            )
            training.let_wait(training.record.postponed(record.attempts, why))
            raise
        except Exception as error:
            if _passes(error):  # what was done is kept for the next try
                training.let_wait(training.record.postponed(record.attempts, explain(error)))
            else:
                training.end("failed", explain(error))
                clean(settings, project_id)
            raise


def _passes(error: Exception) -> bool:
    """Tell whether it may be well in a moment."""
    return isinstance(error, LabelStudioError | SharedFolderError) or is_storage_error(error)


class _Training:
    """A training under way."""

    def __init__(
        self,
        settings: Settings,
        project_id: int,
        record: TrainingRecord,
        check: Callable[[], None],
        progress: Progress,
    ) -> None:
        self.settings, self.project_id = settings, project_id
        self._check, self._progress = check, progress
        self._told = 0.0
        self.folder = settings.project_dir(project_id) / FOLDER
        self.refresher = Refresher(settings)
        self.backbones = open_backbones(settings, project_id)
        self.record = record
        self.tell(
            state="running",
            attempts=record.attempts + 1,
            started_at=time.time(),
            worker=f"process {os.getpid()} on {socket.gethostname()}",
        )

    def tell(self, **changes: Any) -> None:
        """Let everybody know how far it is.

        Raises
        ------
        CalledOff
            If this training is no longer what is asked for.
        """
        self._put(replace(self.record, **changes))

    def _put(self, record: TrainingRecord) -> None:
        self.require_asked()
        self.record = record
        self._told = time.monotonic()
        tell_training(self.settings, self.project_id, record)

    def require_asked(self) -> None:
        """See that nobody has called it off, or asked for another one."""
        now = read_training(self.settings, self.project_id)
        if not now.open or now.asked_at != self.record.asked_at:
            raise CalledOff(f"project {self.project_id}: the training is no longer asked for")

    def let_wait(self, record: TrainingRecord) -> None:
        """Tell that it goes on later; where that cannot be told, whoever looks finds it begun and not ended."""
        log.info("project %d: training put off: %s", self.project_id, record.message or "stopped")
        try:
            now = read_training(self.settings, self.project_id)
            # without the lease another worker may be at it by now
            if now.open and (now.asked_at, now.worker) == (record.asked_at, record.worker):
                tell_training(self.settings, self.project_id, record)
        except OSError as error:
            log.warning("project %d: that its training waits cannot be told: %s", self.project_id, error)

    def end(self, state: State, message: str, **changes: Any) -> TrainingRecord:
        """Tell what came of it."""
        self._put(replace(self.record.ended(state, message), **changes))
        level = logging.ERROR if state == "failed" else logging.INFO
        log.log(level, "project %d: training: %s", self.project_id, message)
        return self.record

    def report(self, step: str, done: int, total: int) -> None:
        """Tell of the progress now and then; raises where the training is to end."""
        self._check()
        self._progress(step, done, total)
        if step != self.record.step or time.monotonic() - self._told >= TELL_EVERY:
            try:
                self.tell(step=step, done=done, total=total)
            except OSError as error:  # of mere progress
                log.warning("project %d: how far its training is cannot be told: %s", self.project_id, error)

    def run(self) -> TrainingRecord:
        """Do it."""
        from ml.training.comparison import compare_backbones
        from ml.training.config import TrainingConfig
        from ml.training.tune import complete

        self.report("reading", 0, 1)
        store = self._store()
        # a kill after the switch: the plan says what the new one was to be compared with
        against = self._used(store)
        if self.record.backbone is not None and against == self.record.backbone:
            told = self.record.message
            return self._done("published", told if told.startswith("published") else "published")
        parts = self.refresher.parts(self.project_id, against)
        # with the backbone that is fine-tuned the images held out must be unseen: begin with the setting's
        config = complete(TrainingConfig.model_validate(self.record.config), self.refresher.embedder.name)
        asked = config.model_dump(mode="json", by_alias=True)
        plan = read_plan(self.folder, asked, self.record.asked_at, against)
        if plan is None or not plan.still_holds(store.load(), self.settings):
            clean(self.settings, self.project_id)
            plan = self._plan(store, parts, asked, config.dataset.valid_share)
            require_classes(self.project_id, plan.classes, config.dataset.names, config.model.num_classes)
            write_plan(self.folder, plan)
        self.tell(labels=len(plan.labels))
        tuned = self._tune(config, plan)
        self.report("comparing", 0, 1)
        labels, rows = np.array(plan.labels), tuned.rows
        before, there = parts.vectors.get([plan.keys[row] for row in rows])
        usable = np.asarray(there)
        trained, held = np.array(plan.trained)[rows], np.array(plan.held)[rows]
        comparison = compare_backbones(
            before,
            tuned.vectors,
            labels[rows],
            [plan.keys[row] for row in rows],
            np.flatnonzero(trained & usable),
            np.flatnonzero(held & usable),
            len(plan.classes),
            groups=np.array(plan.groups)[rows],
            seed=config.training.seed,
        )
        self.tell(before=comparison.before, after=comparison.after)
        left = f"{plan.suspects} suspect labels were left out" if plan.suspects else "no label is suspect"
        if not (comparison.better or self.record.force):
            return self._done("kept", f"not better, not published: {comparison.text()}; {left}")
        forced = "" if comparison.better else "not better, but --force: "
        return self._publish(plan, tuned, config, comparison, f"{forced}{comparison.text()}; {left}", store)

    def _store(self) -> SnapshotStore:
        if shared := share(self.settings):
            shared.project(self.project_id).turns.freshen()
        return SnapshotStore.for_reading(self.settings.project_dir(self.project_id) / SNAPSHOT)

    def _used(self, store: SnapshotStore) -> str | None:
        """Return the project's own backbone that vectors are made with; None: the setting's."""
        published, info = self.backbones.published(), store.get_meta("project")
        if published is None or info is None:
            return published
        kind = find_kind(info["label_config"])
        course = self.refresher.course(kind.name)
        return course.embeds_with(course.backbone(self.project_id, published, kind))

    def _plan(self, store: SnapshotStore, parts: EmbeddingParts, asked: dict[str, Any], held: float) -> Plan:
        seen = (
            set(self.backbones.load(parts.backbone).manifest["trained_on"]) if parts.backbone else set[str]()
        )
        base = self.refresher.parts(self.project_id, None)
        return make_plan(
            self.settings, self.project_id, store, base, parts, seen, asked, self.record.asked_at, held
        )

    def _tune(self, config: TrainingConfig, plan: Plan) -> Tuned:
        from ml.training.tune import tune_backbone

        examples = [
            Example(uri, plan.classes[label], where=f"project {self.project_id}, task {task}", more={"task": task})
            for task, uri, label in zip(plan.tasks, plan.uris, plan.labels, strict=True)
        ]  # fmt: skip

        def moment(now: TrainingProgress) -> None:
            total = now.epochs * now.steps
            self.report(
                f"training, epoch {now.epoch} of {now.epochs}", (now.epoch - 1) * now.steps + now.step, total
            )

        tuned = tune_backbone(
            config, examples, np.array(plan.labels), plan.classes, np.array(plan.trained), self.folder,
            read=self._read, limits=self.settings.image_limits,
            allow_noncommercial=self.settings.allow_noncommercial,
            report=moment, decoded=lambda done, total: self.report("fetching", done, total),
        )  # fmt: skip
        for problem in tuned.problems:
            log.warning("project %d: left out of the training: %s", self.project_id, problem)
        return tuned

    def _read(self, example: Example) -> bytes:
        try:
            return self.refresher.fetcher.fetch(example.image, example.more["task"], self.project_id)
        except ImageFetchError as error:  # costs the one image
            raise ValueError(str(error)) from error

    def _publish(
        self,
        plan: Plan,
        tuned: Tuned,
        config: TrainingConfig,
        comparison: Comparison,
        message: str,
        store: SnapshotStore,
    ) -> TrainingRecord:
        name = self.backbones.save(tuned.model, _manifest(plan, tuned, config, comparison))
        self.tell(backbone=name, message=f"published: {message}")
        parts = self.refresher.parts(self.project_id, name)
        items = self._items(store)
        self.report("embedding", 0, len(items))
        embed_contents(
            parts, self.project_id, items, lambda done, total: self.report("embedding", done, total)
        )
        self._check()
        self.require_asked()
        if self._used(store) != plan.against:  # a person's word, by `lineup rollback`
            return self._done("kept", "not published: the project went over to another backbone meanwhile")
        self.backbones.publish(name)
        return self._done("published", self.record.message)

    def _items(self, store: SnapshotStore) -> list[tuple[int, str, str | None]]:
        """Return all images of the project that could be used so far."""
        snapshot = store.load()
        assert snapshot.info is not None
        kind = find_kind(snapshot.info.label_config)
        uris = {task_id: kind.image_uri(task.data) for task_id, task in snapshot.tasks.items()}
        contents = store.contents({uri for uri in uris.values() if uri})
        return [
            (task_id, uri, contents[uri].key)
            for task_id, uri in uris.items()
            if uri and uri in contents and contents[uri].key
        ]

    def _done(self, state: State, message: str) -> TrainingRecord:
        ended = self.end(state, message)
        if state == "kept":  # --force publishes it yet
            clean_images(self.settings, self.project_id)
        else:
            clean(self.settings, self.project_id)
        if state == "published":
            try:
                open_hints(self.settings).add(self.project_id, "backbone")
                registry = open_registry(self.settings, self.project_id)
                used = {registry.manifest(version).get("backbone") for version in registry.ids()}
                self.backbones.prune({name for name in used if name})
            except (OSError, sqlite3.Error, QueueUnavailable) as error:
                # it is published all the same: the next look at the project finds it, the next training prunes
                log.warning("project %d: after its training: %s", self.project_id, error)
        return ended


def _manifest(plan: Plan, tuned: Tuned, config: TrainingConfig, comparison: Comparison) -> dict[str, Any]:
    return {
        "model": tuned.name,
        "image_size": tuned.image_size,
        "weights": tuned.weights,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "against": plan.against,
        "classes": plan.classes,
        "labels": len(plan.labels),
        "suspects": plan.suspects,
        "before": comparison.before,
        "after": comparison.after,
        "held": comparison.held,
        "config": config.model_dump(mode="json", by_alias=True),
        "trained_on": sorted({key for key, used in zip(plan.keys, plan.trained, strict=True) if used}),
    }
