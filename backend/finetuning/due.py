"""When a project is trained on without being asked, which `FINETUNE=auto` allows."""

from __future__ import annotations

import logging

from backend.finetuning.record import FIRST_LABELS, ask_training, read_training
from backend.labelstudio.config import find_kind
from backend.settings import Settings
from backend.snapshot import SNAPSHOT, SnapshotStore

log = logging.getLogger(__name__)


def ask_if_due(settings: Settings, project_id: int, labels: int) -> bool:
    """Ask for a training after a refresh that found so many labels, if it is time; return whether it was.

    It is at 200 labels, and each time they have doubled since the last training, whatever came of that.
    """
    if settings.finetune != "auto" or labels < FIRST_LABELS:
        return False
    if not read_training(settings, project_id).due(labels):
        return False
    info = SnapshotStore.for_reading(settings.project_dir(project_id) / SNAPSHOT).get_meta("project")
    if info is None or find_kind(info["label_config"]).several:  # a backbone is trained on one class an image
        return False
    ask_training(settings, project_id, {}, labels=labels)
    log.info("project %d: %d labels: a training is asked for", project_id, labels)
    return True
