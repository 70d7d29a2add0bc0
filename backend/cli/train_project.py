"""`lineup train --project`: a backbone of the project's own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from backend.cli.bars import steps
from backend.cli.common import Failure, console, errors, label_studio_settings, require_known
from backend.finetuning.leftovers import clean
from backend.finetuning.record import TrainingRecord, ask_training, read_training, tell_training
from backend.jobs.locks import training_lock
from backend.jobs.open import distributed, open_hints
from backend.project import open_backbones, project_status
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.finetuning.run import Progress
    from ml.training.config import TrainingConfig

_LOOK_EVERY = 0.5
# seconds within which a training that is called off ends
_ENDS_WITHIN = 60.0


def train_project(project_id: int, config: TrainingConfig, *, force: bool) -> None:
    """Train a backbone on a project, here or, with `REDIS_URL`, by a worker; wait for it and say what came of it."""
    settings = label_studio_settings()
    require_known(settings, project_id)
    if config.training.early_stop:
        raise Failure(
            "Training.early_stop: a backbone has all its epochs, as choosing one by the images held out would leave "
            "none to judge by. Leave it out, and set Training.epochs",
            2,
        )
    if config.dataset.dataset_path is not None:
        raise Failure("Dataset.dataset_path: a project has its own images. Leave it out", 2)
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
        console.print("The published one stays. The same command with --force publishes the new one.")


def drop_backbone(project_id: int) -> None:
    """Call off a project's training, if there is one, and have the project learn on the settings' backbone again."""
    settings = label_studio_settings()
    require_known(settings, project_id)
    if called_off := read_training(settings, project_id).open:
        _close(settings, project_id, "called off")
    _wait_for_its_end(settings, project_id)
    with training_lock(settings.project_dir(project_id)) as held:
        if not held:
            raise Failure(f"a training of project {project_id} has just begun: try again")
        clean(settings, project_id)
        backbones = open_backbones(settings, project_id)
        before = backbones.published()
        if before is not None:
            backbones.publish(None)
            _close(settings, project_id, f"{before} is no longer used")
    if called_off:
        console.print(f"The training of project {project_id} is called off.")
    if before is None:
        console.print(f"Project {project_id} has no backbone of its own published.")
        return
    open_hints(settings).add(project_id, "backbone")
    console.print(f"Project {project_id} learns on EMBEDDER={settings.embedder} again (before: {before}).")


def _close(settings: Settings, project_id: int, message: str) -> None:
    """Write down that a person wants none; whoever is at one sees it and ends."""
    tell_training(settings, project_id, read_training(settings, project_id).ended("dropped", message))


def _wait_for_its_end(settings: Settings, project_id: int) -> None:
    deadline = time.monotonic() + _ENDS_WITHIN
    while _under_way(settings, project_id):
        if time.monotonic() > deadline:
            raise Failure(
                f"the training of project {project_id} is called off and has not ended yet: try again in a moment"
            )
        time.sleep(_LOOK_EVERY)
        if read_training(settings, project_id).open:  # what it told of itself crossed our word
            _close(settings, project_id, "called off")


def _under_way(settings: Settings, project_id: int) -> bool:
    """Tell whether anybody is at a project's training."""
    if distributed(settings):
        from backend.jobs.distributed.lease import is_leased
        from backend.jobs.distributed.link import link, told
        from backend.jobs.distributed.trainings import training_lease

        with link(settings) as connection, told():
            if is_leased(connection, training_lease(project_id)):
                return True
    with training_lock(settings.project_dir(project_id)) as held:
        return not held


def _here(
    settings: Settings, project_id: int, asked: dict[str, Any], force: bool, progress: Progress
) -> TrainingRecord:
    from backend.finetuning.run import NICENESS, CalledOff, run_training

    os.nice(NICENESS)
    with training_lock(settings.project_dir(project_id)) as held:
        if not held:
            raise Failure(f"project {project_id} is being trained on already, see: lineup status")
        ask_training(settings, project_id, asked, force=force, labels=_labels(settings, project_id))
        try:
            return run_training(settings, project_id, progress=progress)
        except CalledOff:
            raise Failure(f"the training of project {project_id} was called off") from None
        except KeyboardInterrupt:
            errors.print("Stopped. The same command goes on where it was; --drop calls it off.")
            raise
        except Exception:
            if read_training(settings, project_id).open:
                errors.print("Put off: the same command goes on where it was, and so does FINETUNE=auto.")
            raise


def _labels(settings: Settings, project_id: int) -> int:
    last = project_status(settings, project_id, now=True).last_refresh
    return last.labels if last else 0


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
        before = read_training(settings, project_id)
        same, begun = before.goes_on(asked, force), _under_way(settings, project_id)
        if (before.open and not same) or (begun and not before.open):
            raise Failure(
                f"project {project_id} is being trained on already, or waits for it, with another configuration: wait "
                f"(lineup status), or call that off: lineup train --project {project_id} --drop"
            )
        record = before
        if not begun:
            record = ask_training(
                settings, project_id, asked, force=force, labels=_labels(settings, project_id)
            )
            QueuedTrainings(settings, connection, worker_name()).enqueue(project_id)
    asked_at = record.asked_at
    try:
        while (record := read_training(settings, project_id)).open and record.asked_at == asked_at:
            progress(record.step or record.state, record.done, record.total)
            time.sleep(_LOOK_EVERY)
    except KeyboardInterrupt:
        errors.print(f"A worker goes on with it. To call it off: lineup train --project {project_id} --drop")
        raise
    if record.state == "dropped" or record.asked_at != asked_at:
        raise Failure(f"the training of project {project_id} was called off")
    return record
