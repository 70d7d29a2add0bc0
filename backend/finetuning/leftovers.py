"""What a training has left on a machine, and another machine has brought to its end."""

from __future__ import annotations

import logging
import shutil

from backend.finetuning.record import TrainingRecord, read_training
from backend.jobs.locks import training_lock
from backend.settings import Settings

log = logging.getLogger(__name__)

FOLDER = "training"


def clean(settings: Settings, project_id: int) -> None:
    """Remove what only a training that goes on needs; for whoever holds it."""
    shutil.rmtree(settings.project_dir(project_id) / FOLDER, ignore_errors=True)


def clean_images(settings: Settings, project_id: int) -> None:
    """Remove the decoded images, which are by far the most of it and can be had again."""
    for path in (settings.project_dir(project_id) / FOLDER).glob("images*.npy"):
        path.unlink(missing_ok=True)


def clean_ended(settings: Settings, project_id: int, record: TrainingRecord) -> None:
    """Remove it where the training has ended, whoever has ended it, and nobody on this machine is at one."""
    if _goes_on(record) or not (settings.project_dir(project_id) / FOLDER).exists():
        return
    with training_lock(settings.project_dir(project_id)) as held:
        if held and not _goes_on(read_training(settings, project_id)):
            clean(settings, project_id)
            log.info("project %d: what a training had left here is removed", project_id)


def _goes_on(record: TrainingRecord) -> bool:
    return record.open or record.state in ("stopped", "kept")
