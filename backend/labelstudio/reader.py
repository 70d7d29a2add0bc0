"""Read a project and its tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioUnreachable
from backend.packed import PackedResult, pack
from backend.snapshot import AnnotationRecord, ProjectInfo, TaskRecord

PAGE = 500
# pages grow to PAGE; where annotations may be masks they stay at FIRST_PAGE until some were seen, and from then on are
# as long as so many bytes of masks allow
FIRST_PAGE = 50
MASK_BYTES = 5_000_000
ID_PAGE = 2000
# a submit that was being stored while another one was read carries a time before that one's
OVERLAP = timedelta(seconds=2)

_PROJECT_FIELDS = "id,title,label_config,created_at,task_number,model_version,sampling,maximum_annotations"
# Label Studio applies the list to annotations too, so their fields are named beside the task's
_TASK_FIELDS = (
    "id,data,is_labeled,updated_at,annotations,result,completed_by,ground_truth,was_cancelled,created_at"
)


def read_project(client: LabelStudioClient, project_id: int) -> ProjectInfo:
    """Return the project's own record in one call.

    Raises
    ------
    LabelStudioError
        Status 404 where the project does not exist or the token's user cannot see it.
    LabelStudioUnreachable
        If what answers is no Label Studio.
    """
    path = f"/api/projects/{project_id}/"
    raw = client.get(path, {"include": _PROJECT_FIELDS})
    if not isinstance(raw, dict) or raw.get("id") != project_id:
        hint = f"Is LABEL_STUDIO_URL ({client.url}) a Label Studio, and is what stands in between well?"
        raise LabelStudioUnreachable(200, "GET", path, "the answer is not the project", hint)
    return ProjectInfo(
        id=raw["id"],
        title=raw["title"] or "",
        label_config=raw["label_config"] or "",
        created_at=raw["created_at"],
        task_number=raw["task_number"] or 0,
        model_version=raw["model_version"] or "",
        sampling=raw["sampling"] or "",
        maximum_annotations=raw["maximum_annotations"] or 1,
    )


def read_tasks(
    client: LabelStudioClient,
    project_id: int,
    *,
    since: str | None = None,
    known: Mapping[int, str] | None = None,
    masks: bool = True,
) -> Iterator[list[TaskRecord]]:
    """Yield pages of tasks in the order of their ids, with raw data and submitted annotations.

    Pages follow the ids, not offsets, so that a task deleted meanwhile makes no other one be missed. Where
    annotations are masks they are smaller: one of 500 would be hundreds of megabytes.

    Parameters
    ----------
    since : str, optional
        ``updated_at`` of the newest task already read; only what changed after it, less a small overlap, is read.
    known : mapping of task id to ``updated_at``, optional
        What is already known, to leave out what did not change within the overlap; where nothing did, this
        costs one small call.
    masks : bool
        Whether annotations may be masks, see `may_have_masks`; pages without can be long from the start.

    Yields
    ------
    list of TaskRecord
        Never empty.
    """
    start = _stamp(parse_time(since) - OVERLAP) if since else None
    if start and known and _nothing_new(client, project_id, start, known):
        return
    last, size, heaviest = 0, min(FIRST_PAGE, PAGE), 0
    while True:
        filters = [_filter("id", "greater", "Number", last)]
        if start:
            filters.append(_filter("updated_at", "greater", "Datetime", start))
        page = _tasks(client, project_id, filters, ["tasks:id"], size, fields="all", include=_TASK_FIELDS)
        records = [_task(raw) for raw in page]
        changed = [task for task in records if not known or known.get(task.id) != task.updated_at]
        if changed:
            yield changed
        if len(page) < size:
            return
        last = records[-1].id
        # unlabelled tasks say nothing of what masks take
        heaviest = max(heaviest, _mask_bytes(records))
        most = MASK_BYTES // heaviest if heaviest else FIRST_PAGE if masks else PAGE
        size = max(min(most, 2 * size, PAGE), 1)


def may_have_masks(label_config: str) -> bool:
    """Tell whether a label config has brushes or polygons."""
    return re.search(r"<\s*(Brush|Polygon)", label_config, re.IGNORECASE) is not None


def read_task_ids(client: LabelStudioClient, project_id: int) -> set[int]:
    """Return the ids of all tasks."""
    ids: set[int] = set()
    last = 0
    while True:
        filters = [_filter("id", "greater", "Number", last)]
        page = [raw["id"] for raw in _tasks(client, project_id, filters, ["tasks:id"], ID_PAGE, include="id")]
        ids.update(page)
        if len(page) < ID_PAGE:
            return ids
        last = page[-1]


def read_creation_range(client: LabelStudioClient, project_id: int) -> tuple[str, str] | None:
    """Return when the oldest and the newest task were created; None for a project without tasks."""
    first = _tasks(client, project_id, [], ["tasks:created_at"], 1, include="id,created_at")
    last = _tasks(client, project_id, [], ["-tasks:created_at"], 1, include="id,created_at")
    return (first[0]["created_at"], last[0]["created_at"]) if first and last else None


def first_task(client: LabelStudioClient, project_id: int) -> tuple[int, dict[str, Any]] | None:
    """Return id and raw data of the task with the smallest id; None for a project without tasks."""
    found = _tasks(client, project_id, [], ["tasks:id"], 1, include="id,data")
    return (found[0]["id"], found[0]["data"]) if found else None


def existing_tasks(client: LabelStudioClient, project_id: int, task_ids: Sequence[int]) -> set[int]:
    """Return those of ``task_ids`` that the project has."""
    there: set[int] = set()
    for start in range(0, len(task_ids), 200):
        ids = list(task_ids[start : start + 200])
        query = {"selectedItems": {"all": False, "included": ids}}
        params = {"project": project_id, "query": json.dumps(query), "include": "id", "page_size": len(ids)}
        there.update(raw["id"] for raw in client.get("/api/tasks/", params)["tasks"])
    return there


def parse_time(text: str) -> datetime:
    """Return a time that Label Studio sent, in UTC.

    Raises
    ------
    ValueError
        If it is not ISO 8601.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _mask_bytes(tasks: Sequence[TaskRecord]) -> int:
    """Return how many bytes of masks a task has that has any, on average."""
    drawn = [
        sum(a.result.size for a in task.annotations if isinstance(a.result, PackedResult)) for task in tasks
    ]
    return sum(drawn) // max(sum(size > 0 for size in drawn), 1)


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _filter(column: str, operator: str, kind: str, value: object) -> dict[str, object]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _nothing_new(client: LabelStudioClient, project_id: int, start: str, known: Mapping[int, str]) -> bool:
    """Tell by one small call whether the tasks changed after ``start`` are exactly those already known."""
    newest_known = max(known.values(), key=parse_time)
    begin = parse_time(start)
    expected = sum(parse_time(updated) > begin for updated in known.values())
    query = {
        "filters": {"conjunction": "and", "items": [_filter("updated_at", "greater", "Datetime", start)]},
        "ordering": ["-tasks:updated_at"],
    }
    params = {"project": project_id, "query": json.dumps(query), "include": "id,updated_at", "page_size": 1}
    answer = client.get("/api/tasks/", params)
    newest = answer["tasks"][0]["updated_at"] if answer["tasks"] else newest_known
    return answer["total"] == expected and newest == newest_known


def _tasks(
    client: LabelStudioClient,
    project_id: int,
    filters: list[dict[str, object]],
    ordering: list[str],
    page_size: int,
    **params: str,
) -> list[dict[str, Any]]:
    query = {"filters": {"conjunction": "and", "items": filters}, "ordering": ordering}
    answer = client.get(
        "/api/tasks/",
        {
            "project": project_id,
            "query": json.dumps(query),
            "page_size": page_size,
            "resolve_uri": "false",
            **params,
        },
    )
    tasks: list[dict[str, Any]] = answer["tasks"]
    return tasks


def _task(raw: Mapping[str, Any]) -> TaskRecord:
    return TaskRecord(
        id=raw["id"],
        data=raw["data"] if isinstance(raw["data"], dict) else {},
        is_labeled=bool(raw["is_labeled"]),
        updated_at=raw["updated_at"],
        annotations=tuple(_annotation(a) for a in raw["annotations"]),
        created_at=raw["created_at"],
    )


def _annotation(raw: Mapping[str, Any]) -> AnnotationRecord:
    by = raw["completed_by"]
    return AnnotationRecord(
        id=raw["id"],
        completed_by=by.get("id") if isinstance(by, dict) else by,
        ground_truth=bool(raw["ground_truth"]),
        was_cancelled=bool(raw["was_cancelled"]),
        created_at=raw["created_at"],
        updated_at=raw["updated_at"],
        result=pack(raw["result"] or []),
    )
