"""`lineup train --project`: a backbone of the project's own."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backend.cli.bars import steps
from backend.cli.common import Failure, console, errors, label_studio_settings, require_known
from backend.finetuning.record import TrainingRecord, ask_training, read_training, tell_training
from backend.jobs.locks import training_lock
from backend.jobs.open import distributed, open_hints
from backend.project import open_backbones
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.finetuning.run import Progress
    from ml.training.config import TrainingConfig

_LOOK_EVERY = 0.5


def train_project(project_id: int, config: TrainingConfig, *, force: bool) -> None:
    """Train a backbone on a project, here or, with `REDIS_URL`, by a worker; wait for it and say what came of it."""
    settings = label_studio_settings()
    require_known(settings, project_id)
    asked = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    with steps("starting") as bar:
        if distributed(settings):
            record = _elsewhere(settings, project_id, asked, force, bar.report)
        else:
            record = _here(settings, project_id, asked, force, bar.report)
    if record.state == "failed":
        raise Failure(record.message)
    where = (
        f"Backbone {record.backbone} of project {project_id}" if record.backbone else f"Project {project_id}"
    )
    console.print(f"{where}: {record.message}", highlight=False, soft_wrap=True)
    if record.state == "kept":
        console.print("The published one stays. --force publishes the new one anyway.")


def drop_backbone(project_id: int) -> None:
    """Have a project learn on the settings' backbone again."""
    settings = label_studio_settings()
    require_known(settings, project_id)
    with training_lock(settings.project_dir(project_id)) as held:
        if not held:
            raise Failure(f"a training of project {project_id} is running: stop it first, or wait")
        backbones = open_backbones(settings, project_id)
        before = backbones.published()
        if before is None:
            console.print(f"Project {project_id} has no backbone of its own published.")
            return
        backbones.publish(None)
        record = replace(
            read_training(settings, project_id),
            state="dropped", finished_at=time.time(), message=f"{before} is no longer used",
        )  # fmt: skip
        tell_training(settings, project_id, record)
    open_hints(settings).add(project_id, "backbone")
    console.print(f"Project {project_id} learns on EMBEDDER={settings.embedder} again (before: {before}).")


def _here(
    settings: Settings, project_id: int, asked: dict[str, Any], force: bool, progress: Progress
) -> TrainingRecord:
    from backend.finetuning.run import NICENESS, run_training

    os.nice(NICENESS)
    with training_lock(settings.project_dir(project_id)) as held:
        if not held:
            raise Failure(f"project {project_id} is being trained on already, see: lineup status")
        ask_training(settings, project_id, asked, force=force)
        return run_training(settings, project_id, progress=progress)


def _elsewhere(
    settings: Settings, project_id: int, asked: dict[str, Any], force: bool, progress: Progress
) -> TrainingRecord:
    from backend.jobs.distributed.link import link
    from backend.jobs.distributed.trainings import QueuedTrainings, training_workers
    from backend.jobs.distributed.workers import worker_name

    with link(settings) as connection:
        if not training_workers(connection):
            errors.print(
                "[yellow]No worker takes trainings from REDIS_URL.[/] Start one: "
                "[bold]lineup worker --queue train[/]",
                soft_wrap=True,
            )
        ask_training(settings, project_id, asked, force=force)
        QueuedTrainings(settings, connection, worker_name()).enqueue(project_id)
    while (record := read_training(settings, project_id)).open:
        progress(record.step or record.state, record.done, record.total)
        time.sleep(_LOOK_EVERY)
    return record
