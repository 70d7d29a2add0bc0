"""Do people get the tasks in the order Lineup says? Looked up without asking for a task, which would lock it."""

from __future__ import annotations

import json
from typing import Any

from backend.columns import PRIORITY
from backend.doctor.context import Context
from backend.doctor.outcome import Outcome, failure, ok, skipped, warning
from backend.labelstudio.queue import UNCERTAINTY
from backend.project import open_registry
from backend.registry import UNTRAINED

_SCORE = "tasks:predictions_score"


def check_order(context: Context) -> Outcome:
    """Compare the task that *Label All Tasks* serves next with the one of the highest priority."""
    settings, info = context.settings, context.info
    if settings.queue == "off":
        return skipped("QUEUE=off: Lineup leaves the order alone")
    version = open_registry(settings, info.id).published() or UNTRAINED
    if version == UNTRAINED:
        return skipped("there is no model yet")
    again = f"lineup connect --project {info.id}"
    if info.sampling != UNCERTAINTY:
        return warning(
            f"someone set the task sampling to {info.sampling!r}: Label All Tasks follows that", again
        )
    if info.model_version != version:
        return warning(
            f"the project shows predictions of {info.model_version!r}, Lineup serves {version!r}: "
            "Label All Tasks follows the former",
            again,
        )
    field = settings.field_prefix + PRIORITY
    by_field = _first(context, f"-tasks:data.{field}", field)
    served = _first(context, _SCORE, field)
    if by_field is None or served is None:
        return skipped("no unfinished task is left")
    if _number(served["data"].get(field)) != _number(by_field["data"].get(field)):
        return failure(
            f"Label All Tasks serves task {served['id']}, but task {by_field['id']} has the highest {field}",
            f"lineup refresh --project {info.id} --wait",
        )
    return ok(f"task {served['id']} has the highest {field} and is served next")


def _first(context: Context, ordering: str, field: str) -> dict[str, Any] | None:
    """Return the first unfinished task of an order."""
    unfinished = {
        "filter": "filter:tasks:completed_at",
        "operator": "empty",
        "type": "Datetime",
        "value": True,
    }
    items: list[dict[str, Any]] = [unfinished]
    if ordering == _SCORE:
        # tasks without a prediction of the served version are not served while others have one
        items.append({"filter": f"filter:{_SCORE}", "operator": "empty", "type": "Number", "value": False})
    query = {
        "filters": {"conjunction": "and", "items": items},
        "ordering": [ordering],
        "columnsDisplayType": {f"tasks:data.{field}": "Number"},
    }
    params = {
        "project": context.project_id,
        "query": json.dumps(query),
        "include": "id,data",
        "page_size": 1,
        "resolve_uri": "false",
    }
    tasks: list[dict[str, Any]] = context.client.get("/api/tasks/", params)["tasks"]
    return tasks[0] if tasks else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
