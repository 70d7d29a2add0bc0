"""Store predictions in Label Studio: singly while people work, in bulk when nobody does."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.reader import existing_tasks

log = logging.getLogger(__name__)

BULK_TIMEOUT = 900.0
LIST_PAGE = 500
SMALL_VERSION = 500
# of results made for one bulk import; Label Studio takes 250 MB
BATCH_BYTES = 16_000_000

Result = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction to store; ``score`` in [0, 1] orders the Label All Tasks stream, lowest first.

    A result that takes room, as masks do, is given as a function, called each time the prediction is written.
    """

    task: int
    result: Result | Callable[[], Result]
    score: float
    model_version: str

    def body(self) -> dict[str, Any]:
        """Return the prediction as Label Studio's API takes it."""
        return {
            "task": self.task,
            "result": self.result() if callable(self.result) else self.result,
            "score": self.score,
            "model_version": self.model_version,
        }


def batches(
    predictions: Iterable[Prediction],
    most_bytes: int = BATCH_BYTES,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[Prediction]]:
    """Yield predictions with their results made, in lists of up to so many bytes as JSON, or of one.

    ``stop`` is asked before each result that has to be made, but the first: what is made by then is the last list.
    """
    batch, held, begun = list[Prediction](), 0, False
    for prediction in predictions:
        late = callable(prediction.result)
        if late and begun and stop():
            break
        body, begun = prediction.body(), True
        size = len(json.dumps(body)) if late else 0
        if batch and held + size > most_bytes:
            yield batch
            batch, held = [], 0
        batch.append(replace(prediction, result=body["result"]))
        held += size
    if batch:
        yield batch


@dataclass
class ImportReport:
    """What a bulk import did: how many predictions were created, and why others were not, by task id."""

    created: int = 0
    rejected: dict[int, str] = field(default_factory=dict)


def post_prediction(client: LabelStudioClient, project_id: int, prediction: Prediction) -> int | None:
    """Store one prediction and return its id; None where its task is gone.

    Costs annotators next to nothing (0.04 s), where a bulk import of even one recomputes the counters of the
    whole project.

    Raises
    ------
    LabelStudioError
        If Label Studio refuses it.
    """
    try:
        answer = client.post("/api/predictions/", {**prediction.body(), "project": project_id})
    except LabelStudioError as error:
        if error.status == 400 and not existing_tasks(client, project_id, [prediction.task]):
            return None
        raise
    return int(answer["id"])


def rescore_prediction(client: LabelStudioClient, prediction_id: int, score: float) -> bool:
    """Change the score of a stored prediction; return False where it is gone."""
    try:
        answer = client.patch(f"/api/predictions/{prediction_id}/", {"score": score})
    except LabelStudioError as error:
        if error.status != 404:
            raise
        return False
    if int(answer["id"]) != prediction_id:
        raise LabelStudioError(200, "PATCH", "/api/predictions/", f"unexpected answer {str(answer)[:200]}")
    return True


def import_predictions(
    client: LabelStudioClient, project_id: int, label_config: str, predictions: Sequence[Prediction]
) -> ImportReport:
    """Store many predictions in one call, and name those that Label Studio dropped; `batches` bounds its size.

    Label Studio answers 201 even where it silently dropped invalid ones, so what it says it created is compared
    with what was sent. A lost answer is not asked for again: repeating an import duplicates it.

    Raises
    ------
    LabelStudioError
        If nothing was stored.
    """
    report = ImportReport()
    wanted = [replace(p, result=p.body()["result"]) for p in predictions]
    if not wanted:
        return report
    try:
        report.created = _import(client, project_id, wanted)
    except LabelStudioError as error:
        if error.status != 400:
            raise
        there = existing_tasks(client, project_id, [p.task for p in wanted])
        gone = [p.task for p in wanted if p.task not in there]
        wanted = [p for p in wanted if p.task in there]
        if not gone:
            raise
        report.rejected.update(dict.fromkeys(gone, "the task no longer exists"))
        report.created = _import(client, project_id, wanted) if wanted else 0
    if report.created != len(wanted):
        report.rejected.update(_invalid(label_config, wanted))
        missing = len(wanted) - report.created - len(set(report.rejected) & {p.task for p in wanted})
        if missing:
            log.error("project %d: %d predictions were dropped for no known reason", project_id, missing)
    for task_id, reason in list(report.rejected.items())[:20]:
        log.warning("project %d, task %d: prediction not stored: %s", project_id, task_id, reason)
    return report


def versions(client: LabelStudioClient, project_id: int) -> dict[str, int]:
    """Return the number of stored predictions by model version."""
    answer = client.get(f"/api/projects/{project_id}/model-versions/")
    return {str(name): int(count) for name, count in answer.items()}


def list_predictions(client: LabelStudioClient, project_id: int, version: str) -> dict[int, int]:
    """Return prediction id to task id of one version."""
    return {number: task for number, (task, _) in list_scored(client, project_id, version).items()}


def list_scored(
    client: LabelStudioClient, project_id: int, version: str
) -> dict[int, tuple[int, float | None]]:
    """Return prediction id to task id and score of one version.

    In a project of 10,000 tasks a small version takes 0.1 s; for a large one the project's predictions are read
    as a whole, which takes 1 s where listing them by version would take 19 s.
    """
    count = versions(client, project_id).get(version, 0)
    if count == 0:
        return {}
    if count > SMALL_VERSION:
        everything = client.get("/api/predictions/", {"project": project_id}, timeout=BULK_TIMEOUT)
        return {p["id"]: (p["task"], p["score"]) for p in everything if p["model_version"] == version}
    # Label Studio matches parts of a version's name
    item = {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "List",
        "value": [version],
    }
    found: dict[int, tuple[int, float | None]] = {}
    last = 0
    while True:
        after = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
        query = {"filters": {"conjunction": "and", "items": [item, after]}, "ordering": ["tasks:id"]}
        params = {
            "project": project_id,
            "query": json.dumps(query),
            "fields": "all",
            "include": "id,predictions,model_version",
            "page_size": LIST_PAGE,
        }
        page = client.get("/api/tasks/", params)["tasks"]
        for task in page:
            found.update(
                {
                    p["id"]: (task["id"], p["score"])
                    for p in task["predictions"]
                    if p["model_version"] == version
                }
            )
        if len(page) < LIST_PAGE:
            return found
        last = page[-1]["id"]


def delete_version(client: LabelStudioClient, project_id: int, version: str) -> int:
    """Delete all predictions of a version in one call; return how many.

    Holds up every annotator for its length: 0.5 s for 200 predictions, 24 s for 10,000. Large ones belong to
    `delete_predictions`. Deleting the version that the project serves clears the project's ``model_version``.
    """
    answer = client.delete(
        f"/api/projects/{project_id}/model-versions/", {"model_version": version}, timeout=BULK_TIMEOUT
    )
    return int(answer["deleted_predictions"])


def delete_predictions(
    client: LabelStudioClient,
    prediction_ids: Iterable[int],
    *,
    stop: Callable[[], bool] | None = None,
    on_call: Callable[[int], None] | None = None,
) -> set[int]:
    """Delete predictions one by one (0.04 s each), until ``stop`` says so.

    Returns
    -------
    set of int
        Ids of predictions that no longer exist.
    """
    gone: set[int] = set()
    for prediction_id in prediction_ids:
        if stop is not None and stop():
            break
        try:
            client.delete(f"/api/predictions/{prediction_id}/")
        except LabelStudioError as error:
            if error.status != 404:
                raise
        gone.add(prediction_id)
        if on_call is not None:
            on_call(1)
    return gone


def _import(client: LabelStudioClient, project_id: int, predictions: Sequence[Prediction]) -> int:
    path = f"/api/projects/{project_id}/import/predictions"
    answer = client.post(path, [p.body() for p in predictions], timeout=BULK_TIMEOUT)
    return int(answer["created"])


def _invalid(label_config: str, predictions: Sequence[Prediction]) -> dict[int, str]:
    """Return the predictions that Label Studio's own validation refuses, with its reason, by task id."""
    from label_studio_sdk.label_interface import LabelInterface  # a second to load, and hardly ever needed

    interface = LabelInterface(label_config)
    reasons: dict[int, str] = {}
    for prediction in predictions:
        errors = interface.validate_prediction(prediction.body(), return_errors=True)
        if errors:
            reasons[prediction.task] = "; ".join(str(error) for error in errors)
    return reasons
