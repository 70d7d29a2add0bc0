"""The prediction stream: the stored predictions whose score orders Label Studio's "Label All Tasks" button.

While people work only the head of the queue is written, one prediction a request, under a new small version; then the
project is switched to it. Full sets are imported, and old versions deleted, when nobody is slowed down by it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from backend.columns import TAIL_TOP
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.predictions import (
    Prediction,
    batches,
    delete_predictions,
    delete_version,
    import_predictions,
    list_predictions,
    list_scored,
    post_prediction,
    rescore_prediction,
    versions,
)
from backend.registry import is_version
from backend.snapshot import Posted, SnapshotStore
from backend.tally import WRITES, count

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
                posted = {prediction.task: Posted(prediction_id, prediction.score)}
                self.store.put_posted(prediction.model_version, posted)
                count(WRITES, "predictions")
        return len(todo)

    def post_in_bulk(self, predictions: Sequence[Prediction], *, stop: Stop = never) -> int:
        """Import predictions in as few requests as memory allows, one but for masks; return how many were new.

        Tasks that have one of their version are skipped. ``stop`` ends it between two masks that have to be made,
        which takes a second each: what is made is sent.
        """
        new = 0
        for batch in batches(self._missing(predictions), stop=stop):
            new += len(batch)
            report = import_predictions(self.client, self.project_id, self.label_config, batch)
            created = {p.task: Posted(None, p.score) for p in batch if p.task not in report.rejected}
            self.store.put_posted(batch[0].model_version, created)
            count(WRITES, "predictions", len(created))
        return new

    def rescore(
        self,
        predictions: Sequence[Prediction],
        head: Collection[int],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Bring the scores of a version that was written before to a new order; return how many changed.

        Only those that decide what is served next: the tasks of the head, and those that were at the head.
        """
        version = predictions[0].model_version if predictions else ""
        posted = self.store.posted(version)
        stale = [p for p in predictions if _misplaced(posted.get(p.task), p, p.task in head)]
        if not stale:
            return 0
        if any(posted[p.task].prediction is None for p in stale):  # a bulk import does not tell the ids
            there = list_predictions(self.client, self.project_id, version)
            ids: dict[int, int | None] = {task: prediction for prediction, task in there.items()}
        else:
            ids = {p.task: posted[p.task].prediction for p in stale}
        for number, p in enumerate(stale):
            progress(number, len(stale))
            prediction_id = ids.get(p.task)
            if prediction_id is not None and rescore_prediction(self.client, prediction_id, p.score):
                self.store.put_posted(version, {p.task: Posted(prediction_id, p.score)})
            else:
                self.store.delete_posted(version, [p.task])
        return len(stale)

    def complete(self, predictions: Sequence[Prediction], interrupted: Stop) -> bool:
        """Give every task a prediction while nobody works; return True if some are left."""
        if interrupted():
            return bool(self._missing(predictions[:COMPLETE_LIMIT]))
        if len(predictions) <= BULK_TASKS:
            todo = self._missing(predictions)
            return self.post_in_bulk(todo, stop=interrupted) < len(todo)
        self.post_singly(predictions[:COMPLETE_LIMIT], stop=interrupted)
        return interrupted()

    def drop_small(self, keep: str) -> None:
        """Delete the old heads: versions small enough that deleting them slows nobody."""
        old = [version for version in self.store.posted_versions() if version != keep]
        there = versions(self.client, self.project_id) if old else {}
        for version in old:
            # Label Studio's own count: its "Retrieve Predictions" adds to a version behind Lineup's back
            count = there.get(version, 0)
            if count <= SMALL_VERSION:
                if count:
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

    def drop_repeats(self, version: str, interrupted: Stop) -> bool:
        """Delete all but the first prediction of a version a task has; return True if some are left.

        A request may be carried out long after the process that sent it was killed, and the next one asked in vain.
        """
        repeats, known = [], dict[int, Posted]()
        for number, (task, score) in sorted(list_scored(self.client, self.project_id, version).items()):
            if task in known:
                repeats.append(number)
            else:
                known[task] = Posted(number, score)
        if not repeats:
            return False
        log.warning("project %d: %d predictions of %s arrived twice", self.project_id, len(repeats), version)
        gone = delete_predictions(self.client, repeats, stop=interrupted)
        self.store.put_posted(version, known)
        return len(gone) < len(repeats)

    def reconcile(self) -> None:
        """Read from Label Studio which of Lineup's predictions really stand there.

        Needed once a process: a kill between a request and its record must lead neither to a second prediction nor
        to one that nobody ever deletes.
        """
        there = [version for version in versions(self.client, self.project_id) if is_version(version)]
        for version in {*there, *self.store.posted_versions()}:
            self.store.delete_posted(version)
            if version in there:
                # with their scores: a set that stands as it should is not written again
                listed = list_scored(self.client, self.project_id, version)
                known = {task: Posted(number, score) for number, (task, score) in listed.items()}
                self.store.put_posted(version, known)

    def _missing(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        if not predictions:
            return []
        posted = self.store.posted(predictions[0].model_version)
        return [p for p in predictions if p.task not in posted]


def _misplaced(posted: Posted | None, wanted: Prediction, in_head: bool) -> bool:
    if posted is None or posted.score == wanted.score:
        return False
    return in_head or posted.score is None or posted.score < stream_score(TAIL_TOP)


def stream_score(priority: float) -> float:
    """Return the score of a stored prediction: Label Studio serves the lowest first."""
    return round(1.0 - priority, 4)
