"""Answer ``/predict`` from the published version, with what is stored of each image; see `backend.courses.serving`."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from backend.columns import PRIORITY
from backend.courses.serving import Answers, make_answers
from backend.labelstudio.config import UnsupportedConfig, find_kind
from backend.labelstudio.kind import Kind
from backend.newcomers import Newcomers
from backend.project import open_registry
from backend.registry import UNTRAINED, Version, VersionNotFound
from backend.settings import Settings
from backend.shared.folder import share
from backend.snapshot import SNAPSHOT, SnapshotStore

log = logging.getLogger(__name__)

# Label Studio gives up after 100 s: until when new images are embedded, and until when answers are made
SECONDS = 80.0
ANSWER_SECONDS = 90.0
# of results in one answer, as JSON: a mask may have megabytes
MOST_BYTES = 64_000_000
# lines of the log one request may fill with reasons
LOGGED = 20


@dataclass(frozen=True)
class _Served:
    """A published version, ready to predict."""

    version: Version
    answers: Answers

    @property
    def manifest(self) -> dict[str, Any]:
        return self.version.manifest


class Predictor:
    """Predicts tasks with what is published.

    Parameters
    ----------
    settings : Settings
    request : callable
        ``(project id, reason)``: asks for a refresh, so that images met here first are known soon.
    """

    def __init__(self, settings: Settings, request: Callable[[int, str], object]) -> None:
        self.settings = settings
        self.newcomers = Newcomers(settings)
        self._request = request
        self._lock = threading.Lock()
        self._served: dict[int, _Served] = {}

    def version(self, project_id: int) -> str:
        """Return the served version's id, ``untrained`` before the first."""
        return open_registry(self.settings, project_id).published() or UNTRAINED

    def predict(
        self, project_id: int | None, tasks: Sequence[dict[str, Any]], label_config: str | None
    ) -> list[dict[str, Any]]:
        """Predict tasks.

        Parameters
        ----------
        project_id : int or None
            None only where there are no tasks.
        tasks : sequence of dict
            As Label Studio sends them; ``data`` holds the raw image URI.
        label_config : str or None
            XML; None takes the one last read from the project.

        Returns
        -------
        list of dict
            One a task, in order: ``result``, ``score`` in [0, 1], ``model_version``. A task that cannot be
            predicted has an empty result and score 0; why is in the log.
        """
        if project_id is None:
            return []
        version = UNTRAINED
        predictions: list[tuple[list[dict[str, Any]], float] | str]
        try:
            version = self.version(project_id)
            predictions = self._predict(project_id, version, tasks, label_config)
        except (UnsupportedConfig, VersionNotFound, OSError) as error:
            predictions = [str(error)] * len(tasks)
        except Exception as error:  # an annotator gets a task without a suggestion rather than no task
            log.exception("project %d: no prediction possible", project_id)
            predictions = [f"{type(error).__name__}: {error}"] * len(tasks)
        self._log_empty(project_id, tasks, predictions)
        return [
            {"result": item[0], "score": item[1], "model_version": version}
            if isinstance(item, tuple)
            else {"result": [], "score": 0.0, "model_version": version}
            for item in predictions
        ]

    def close(self) -> None:
        """End the process that embeds new images."""
        self.newcomers.close()

    # ------------------------------------------------------------------------------------------------
    def _predict(
        self, project_id: int, version: str, tasks: Sequence[dict[str, Any]], label_config: str | None
    ) -> list[tuple[list[dict[str, Any]], float] | str]:
        if version == UNTRAINED:
            return ["there is no model yet"] * len(tasks)
        begun = time.monotonic()
        served = self._load(project_id, version)
        store = SnapshotStore.for_reading(self.settings.project_dir(project_id) / SNAPSHOT)
        kind = find_kind(label_config or (store.get_meta("project") or {}).get("label_config", ""))
        if (kind.name, list(kind.classes)) != (served.manifest["kind"], served.manifest["classes"]):
            self._request(project_id, "predict")
            return ["the label config changed; a refresh learns it anew"] * len(tasks)
        uris = [_image_uri(kind, task) for task in tasks]
        keys, why = self._images(project_id, served, store, tasks, uris, begun + SECONDS)
        out: list[tuple[list[dict[str, Any]], float] | str] = [reason or _NEW for reason in why]
        rows = [row for row, reason in enumerate(why) if reason is None]
        answers = served.answers.predict(kind, [str(keys[row]) for row in rows])
        size = 0
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True), 1):
            if answer is not None:
                result, sure = answer
                out[row] = result, live_score(tasks[row]["data"], sure, self.settings.field_prefix)
                size += len(json.dumps(result))
            late = time.monotonic() > begun + ANSWER_SECONDS
            if number < len(rows) and (late or size >= MOST_BYTES):
                for left in rows[number:]:
                    out[left] = _NO_TIME if late else _NO_ROOM
                self._request(project_id, "predict")
                break
        return out

    def _images(
        self,
        project_id: int,
        served: _Served,
        store: SnapshotStore,
        tasks: Sequence[dict[str, Any]],
        uris: Sequence[str | None],
        deadline: float,
    ) -> tuple[list[str | None], list[str | None]]:
        """Return for each task the digest of its image, and None or why it cannot be predicted."""
        keys, why = _look_up(served, store, uris)
        if _NEW in why and (shared := share(self.settings)):
            # a worker elsewhere may have met the image since this machine's snapshot
            shared.project(project_id).turns.freshen()
            keys, why = _look_up(served, store, uris)
        new: dict[str, int] = {}
        for task, uri, reason in zip(tasks, uris, why, strict=True):
            if uri and reason == _NEW:
                new.setdefault(uri, _task_id(task))
        if new:
            images = [(task_id, uri) for uri, task_id in new.items()]
            manifest = served.manifest
            outcome = self.newcomers.embed(
                project_id,
                images,
                manifest["fingerprint"],
                deadline,
                manifest.get("backbone"),
                kind=manifest["kind"],
            )
            keys, why = _look_up(served, store, uris)
            why = [
                outcome.get(str(uri)) or reason if reason == _NEW else reason
                for uri, reason in zip(uris, why, strict=True)
            ]
            if _NEW in why:
                self._request(project_id, "predict")
        return keys, why

    def _load(self, project_id: int, version: str) -> _Served:
        with self._lock:
            served = self._served.get(project_id)
            if served is None or served.version.id != version:
                loaded = open_registry(self.settings, project_id).load(version)
                served = _Served(loaded, make_answers(self.settings, project_id, loaded))
                self._served[project_id] = served
            return served

    def _log_empty(
        self, project_id: int, tasks: Sequence[dict[str, Any]], predictions: Sequence[Any]
    ) -> None:
        empty = [
            (_task_id(task), why)
            for task, why in zip(tasks, predictions, strict=True)
            if isinstance(why, str)
        ]
        for task_id, why in empty[:LOGGED]:
            log.warning("project %d, task %d: no prediction: %s", project_id, task_id, why)
        if len(empty) > LOGGED:
            log.warning("project %d: no prediction for %d more tasks", project_id, len(empty) - LOGGED)


def _look_up(
    served: _Served, store: SnapshotStore, uris: Sequence[str | None]
) -> tuple[list[str | None], list[str | None]]:
    contents = store.contents({uri for uri in uris if uri})
    known = [contents.get(uri) if uri else None for uri in uris]
    why: list[str | None] = [
        _NO_IMAGE if not uri else (content.error if content and content.error else _NEW)
        for uri, content in zip(uris, known, strict=True)
    ]
    keys = [content.key if content else None for content in known]
    rows = [row for row, key in enumerate(keys) if key]
    if rows:
        for row, there in zip(rows, served.answers.known([str(keys[row]) for row in rows]), strict=True):
            if there:
                why[row] = None
    return keys, why


_NEW = "the image is not embedded yet; the next refresh does it"
_NO_TIME = "the tasks before it took all the time of the request; ask for fewer at a time"
_NO_ROOM = "the tasks before it fill the answer; ask for fewer at a time"
_NO_IMAGE = "the task has no image under the key the label config names"


def live_score(data: dict[str, Any], confidence: float, prefix: str) -> float:
    """Return the score of a prediction made on demand, in [0, 1].

    Label Studio serves the lowest score first, so a score is 1 - priority, as for stored predictions. Where
    a task has no priority yet, what the model is least sure of is most urgent: priority = 1 - confidence.
    """
    priority = data.get(prefix + PRIORITY)
    if isinstance(priority, bool) or not isinstance(priority, int | float) or not 0 <= priority <= 1:
        priority = 1.0 - confidence
    return round(1.0 - priority, 4)


def _image_uri(kind: Kind, task: dict[str, Any]) -> str | None:
    data = task.get("data")
    uri = kind.image_uri(data) if isinstance(data, dict) else None
    return uri if isinstance(uri, str) else None


def _task_id(task: dict[str, Any]) -> int:
    task_id = task.get("id")
    return task_id if isinstance(task_id, int) else 0
