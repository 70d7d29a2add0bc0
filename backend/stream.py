"""The prediction stream: the stored predictions whose score orders Label Studio's "Label All Tasks" button.

While people work only the head of the queue is written, one prediction a request, under a new small version; then the
project is switched to it. Full sets are imported, and old versions deleted, when nobody is slowed down by it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.predictions import (
    Prediction,
    delete_predictions,
    delete_version,
    import_predictions,
    list_predictions,
    post_prediction,
    versions,
)
from backend.registry import is_version
from backend.snapshot import SnapshotStore

log = logging.getLogger(__name__)

Stop = Callable[[], bool]


def never() -> bool:
    """Let nothing stop the work."""
    return False


# a bulk import recomputes the counters of the whole project: below this many tasks that takes under a second
BULK_TASKS = 1500
# deleting a version in one request is quick up to this many predictions
SMALL_VERSION = 200
# how many predictions an idle project is completed to, best first
COMPLETE_LIMIT = 10_000


@dataclass
class PredictionStream:
    """Writes one project's stored predictions and remembers which stand in Label Studio."""

    client: LabelStudioClient
    store: SnapshotStore
    project_id: int
    label_config: str

    def post_singly(
        self,
        predictions: Sequence[Prediction],
        *,
        stop: Stop = never,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Write predictions one by one, skipping tasks that have one of their version; return how many were new."""
        todo = self._missing(predictions)
        for number, prediction in enumerate(todo):
            if stop():
                return number
            if progress is not None:
                progress(number, len(todo))
            prediction_id = post_prediction(self.client, self.project_id, prediction)
            if prediction_id is not None:  # None: the task was deleted meanwhile
                self.store.put_posted(prediction.model_version, {prediction.task: prediction_id})
        return len(todo)

    def post_in_bulk(self, predictions: Sequence[Prediction]) -> int:
        """Import predictions in one request, skipping tasks that have one of their version; return how many."""
        todo = self._missing(predictions)
        if todo:
            report = import_predictions(self.client, self.project_id, self.label_config, todo)
            created = [p.task for p in todo if p.task not in report.rejected]
            self.store.put_posted(todo[0].model_version, dict.fromkeys(created))
        return len(todo)

    def complete(self, predictions: Sequence[Prediction], interrupted: Stop) -> bool:
        """Give every task a prediction while nobody works; return True if some are left."""
        if interrupted():
            return bool(self._missing(predictions[:COMPLETE_LIMIT]))
        if len(predictions) <= BULK_TASKS:
            self.post_in_bulk(predictions)
            return False
        self.post_singly(predictions[:COMPLETE_LIMIT], stop=interrupted)
        return interrupted()

    def drop_small(self, keep: str) -> None:
        """Delete the old heads: versions small enough that deleting them slows nobody."""
        for version, count in self.store.posted_versions().items():
            if version != keep and count <= SMALL_VERSION:
                delete_version(self.client, self.project_id, version)
                self.store.delete_posted(version)

    def drop_old(self, keep: str, interrupted: Stop) -> bool:
        """Delete old versions in small steps while nobody works; return True if some are left."""
        for version in self.store.posted_versions():
            if version == keep:
                continue
            predictions = list_predictions(self.client, self.project_id, version)
            gone = delete_predictions(self.client, predictions, stop=interrupted)
            if len(gone) < len(predictions):
                self.store.delete_posted(version, [predictions[prediction_id] for prediction_id in gone])
                return True
            self.store.delete_posted(version)
        return False

    def reconcile(self) -> None:
        """Read from Label Studio which of Lineup's predictions really stand there.

        Needed once a process: a kill between a request and its record must lead neither to a second prediction nor
        to one that nobody ever deletes.
        """
        there = [version for version in versions(self.client, self.project_id) if is_version(version)]
        for version in {*there, *self.store.posted_versions()}:
            self.store.delete_posted(version)
            if version in there:
                predictions = list_predictions(self.client, self.project_id, version)
                self.store.put_posted(version, {task: prediction for prediction, task in predictions.items()})

    def _missing(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        if not predictions:
            return []
        posted = self.store.posted(predictions[0].model_version)
        return [p for p in predictions if p.task not in posted]


def stream_score(priority: float) -> float:
    """Return the score of a stored prediction: Label Studio serves the lowest first."""
    return round(1.0 - priority, 4)
