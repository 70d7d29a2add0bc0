"""Bring Label Studio to the outcome of a refresh: differences only, in the order in which people feel them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from backend.activity import is_idle
from backend.columns import FIELDS, SUSPICION, differences
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fields import ensure_columns, write_fields
from backend.labelstudio.predictions import Prediction
from backend.labelstudio.queue import QueueState, ensure_tabs, switch_stream
from backend.ordering import Lineup
from backend.project import TAKE_BACK, Project
from backend.registry import VersionRegistry
from backend.settings import Settings
from backend.snapshot import PUBLISHING, ProjectInfo, Snapshot, SnapshotStore
from backend.stream import BULK_TASKS, PredictionStream
from backend.tally import WRITES
from backend.tally import count as count_up
from backend.targets import Targets

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

# seconds a routine refresh spends on fields; what is left over is written by the next one or when idle
FIELD_BUDGET = 2.0


@contextmanager
def publishing(project: Project) -> Iterator[None]:
    """Remember, beyond a kill and for every process, that Label Studio is written to, until that has ended well."""
    project.store.set_meta(PUBLISHING, True)
    if project.shared:
        project.shared.turns.announce()
    yield
    project.store.set_meta(PUBLISHING, False)


@dataclass(frozen=True)
class Outcome:
    """What a refresh wants Label Studio to show.

    Attributes
    ----------
    version : str
        The version every prediction carries.
    lineup : Lineup
    predictions : list of Prediction
        Of every task that can be predicted, in the order of `order_predictions`.
    """

    version: str
    lineup: Lineup
    predictions: list[Prediction]


class Publisher:
    """Writes one project's outcome.

    Parameters
    ----------
    client : LabelStudioClient
    store : SnapshotStore
    registry : VersionRegistry
    settings : Settings
    info : ProjectInfo
    """

    def __init__(
        self,
        client: LabelStudioClient,
        store: SnapshotStore,
        registry: VersionRegistry,
        settings: Settings,
        info: ProjectInfo,
    ) -> None:
        self.client = client
        self.store = store
        self.registry = registry
        self.settings = settings
        self.info = info
        self.stream = PredictionStream(client, store, info.id, info.label_config)
        # a publish was cut short: what differs from what was remembered is most likely Lineup's own
        self._unsure = bool(store.get_meta(PUBLISHING))

    def publish(
        self, outcome: Outcome, snapshot: Snapshot, targets: Targets, *, stored: bool, progress: Progress
    ) -> dict[str, int]:
        """Write the outcome and switch to its version.

        Parameters
        ----------
        stored : bool
            Whether the registry holds the version (False before the first head).

        Returns
        -------
        dict
            How many predictions and field values were written.
        """
        written = {"predictions": 0, "fields": 0}
        if self.settings.queue == "on":
            written["predictions"] = self._post(outcome, progress)
            progress("switch", 0, 2)  # the last moment to learn that this worker may not publish any more
            self.switch(outcome.version)
        if stored:
            progress("switch", 1, 2)
            self.registry.publish(outcome.version)
        if self.settings.queue == "on":
            if self.store.posted(
                outcome.version
            ):  # with nothing left to label the project keeps what it serves
                self.stream.drop_small(keep=outcome.version)
            idle = is_idle(self.store, self.settings.idle_after)
            deadline = time.monotonic() + FIELD_BUDGET
            written["fields"] = self.write_rows(
                outcome.lineup,
                snapshot,
                exact=idle,
                stop=lambda: not idle and time.monotonic() > deadline,
                progress=progress,
            )
            self.note_suspects(snapshot, targets, outcome.lineup.threshold)
            progress("tabs", 0, 1)
            self.tabs(outcome.lineup.threshold)
        self._unsure = False
        return written

    def _post(self, outcome: Outcome, progress: Progress) -> int:
        head = set(outcome.lineup.queue[: self.settings.head_size])
        self.stream.rescore(
            outcome.predictions, head, progress=lambda done, total: progress("publish order", done, total)
        )
        undisturbed = is_idle(self.store, self.settings.idle_after)
        first = not self.store.posted_versions()
        # what has to be made first waits for idle work, which stops as soon as somebody submits
        made = not any(callable(p.result) for p in outcome.predictions)
        if undisturbed and made and (first or len(outcome.predictions) <= BULK_TASKS):
            progress("publish predictions", 0, len(outcome.predictions))
            return self.stream.post_in_bulk(outcome.predictions)
        first_ones = outcome.predictions[: min(self.settings.head_size, len(outcome.lineup.queue))]
        return self.stream.post_singly(
            first_ones, progress=lambda done, total: progress("publish predictions", done, total)
        )

    def switch(self, version: str) -> None:
        """Make the project serve by ``version``, once it has predictions of it."""
        if self.store.posted(version):  # Label Studio refuses a version without predictions
            adopt = bool(self.store.get_meta(TAKE_BACK))
            self.queue_state(
                lambda known: switch_stream(
                    self.client,
                    self.info.id,
                    version,
                    known,
                    adopt=adopt,
                    unsure=self._unsure,
                    save=self._save_queue_state,
                )
            )

    def write_rows(
        self, lineup: Lineup, snapshot: Snapshot, *, exact: bool, stop: Callable[[], bool], progress: Progress
    ) -> int:
        """Write the fields that differ and remember them; return how many values were written."""
        present = {task_id: task.data for task_id, task in snapshot.tasks.items()}
        changes = differences(
            lineup.rows,
            present,
            self.settings.field_prefix,
            exact=exact,
            threshold=lineup.threshold,
            head=lineup.queue[: self.settings.head_size],
        )
        total, count = sum(len(values) for _, values in changes), 0

        gave_up: list[Exception] = []

        def stopped() -> bool:
            try:
                progress("publish fields", count, total)
            except Exception as error:  # raised again once what was written is remembered
                gave_up.append(error)
                return True
            return stop()

        for name, values in changes:
            if gave_up or stopped():
                break
            done = write_fields(self.client, self.info.id, name, values, stop=stopped)
            self.remember(snapshot, name, {task_id: values[task_id] for task_id in done})
            count_up(WRITES, "fields", len(done))
            count += len(done)
        if gave_up:
            raise gave_up[0]
        return count

    def remember(self, snapshot: Snapshot, name: str, values: Mapping[int, float | str]) -> None:
        """Record field values that now stand in Label Studio."""
        self.store.merge_data(name, values)
        for task_id, value in values.items():
            snapshot.tasks[task_id].data[name] = value

    def note_suspects(self, snapshot: Snapshot, targets: Targets, threshold: float) -> None:
        """Remember how the annotations of each shown suspect stood, to notice that a person has looked."""
        name = self.settings.field_prefix + SUSPICION
        histories = self.store.histories()
        shown = [
            replace(histories[task_id], suspected_state=state)
            for task_id, state, unfinished in zip(
                targets.ids.tolist(), targets.states, targets.unfinished.tolist(), strict=True
            )
            if not unfinished
            and task_id in histories
            and histories[task_id].suspected_state is None
            and _number(snapshot.tasks[task_id].data.get(name)) >= threshold
        ]
        self.store.put_histories(shown)

    def tabs(self, threshold: float) -> None:
        """Create the tabs, or bring them up to date, and see to it that their columns are visible."""
        ensure_columns(self.client, self.info.id, [self.settings.field_prefix + name for name in FIELDS])
        prefix = self.settings.field_prefix
        adopt = bool(self.store.get_meta(TAKE_BACK))
        self.queue_state(
            lambda known: ensure_tabs(
                self.client, self.info.id, prefix, threshold, known, adopt=adopt, unsure=self._unsure
            )
        )
        if adopt:
            self.store.set_meta(TAKE_BACK, False)

    def queue_state(self, step: Callable[[QueueState], QueueState]) -> None:
        """Run a step on what Lineup remembers of the project's tabs and sampling, and remember the outcome."""
        known = QueueState.from_json(self.store.get_meta("queue"))
        after = step(known)
        if after != known:
            self._save_queue_state(after)

    def _save_queue_state(self, state: QueueState) -> None:
        self.store.set_meta("queue", state.to_json())


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def order_predictions(lineup: Lineup, predictions: Mapping[int, Prediction], head: int) -> list[Prediction]:
    """Return predictions with the head of the queue first, in its order.

    Then come the suspects, the most suspicious first, since predictions show reviewers where a mask is suspected to be
    wrong; then the rest of the queue, and the other tasks by id. A task of the queue may have none.
    """
    rows, queue = lineup.rows, lineup.queue
    suspects = [task_id for task_id in sorted(predictions) if rows[task_id].suspicion >= lineup.threshold]
    suspects.sort(key=lambda task_id: -rows[task_id].suspicion)
    order = dict.fromkeys([*queue[:head], *suspects, *queue[head:], *sorted(predictions)])
    return [predictions[task_id] for task_id in order if task_id in predictions]
