"""Write task fields through the bulk action, which touches nothing but the field."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.errors import LabelStudioError
from backend.labelstudio.reader import existing_tasks, first_task

log = logging.getLogger(__name__)

# 0.15 s a call on SQLite; larger ones make a waiting submit feel it
CHUNK = 1000
MOST_BROKEN = 5
_UPDATED = re.compile(r"Updated (\d+) tasks")

Value = float | str


def write_fields(
    client: LabelStudioClient,
    project_id: int,
    field: str,
    values: Mapping[int, Value],
    *,
    stop: Callable[[], bool] | None = None,
    on_call: Callable[[int], None] | None = None,
) -> set[int]:
    """Set one field of many tasks; one call for each distinct value and 1,000 tasks, one after the other.

    Two such calls at once lose updates on SQLite: never run this twice at a time for one Label Studio. Other
    task data, ``is_labeled`` and ``updated_at`` stay as they are, whatever annotators do meanwhile.

    Parameters
    ----------
    values : mapping of task id to value
        Numbers (finite) or strings; calls follow the order of first appearance.
    stop : callable, optional
        Asked before every call; True ends the writing.
    on_call : callable, optional
        Told the number of tasks of every finished call.

    Returns
    -------
    set of int
        Tasks that now have their value. Tasks that were deleted meanwhile are not among them.

    Raises
    ------
    ValueError
        If a value is neither a finite number nor a string; nothing is written then.
    LabelStudioError
        If Label Studio refuses; earlier calls stay written.
    """
    buckets = bucket(values)
    written: set[int] = set()
    broken: list[int] = []
    for value, ids in buckets:
        for chunk in chunks(ids, CHUNK):
            if stop is not None and stop():
                return written
            written |= _write(client, project_id, field, value, chunk, broken=broken)
            if on_call is not None:
                on_call(len(chunk))
    return written


def bucket(values: Mapping[int, Value]) -> list[tuple[Value, list[int]]]:
    """Group task ids by value, in the order of first appearance.

    Raises
    ------
    ValueError
        If a value is neither a finite number nor a string.
    """
    groups: dict[Value, list[int]] = {}
    for task_id, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"task {task_id}: a field takes a number or a string, not {value!r}")
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(f"task {task_id}: {value!r} is not a finite number")
        groups.setdefault(value if isinstance(value, str) else float(value), []).append(int(task_id))
    return list(groups.items())


def chunks(ids: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield consecutive parts of at most ``size`` ids, none of them empty."""
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _write(
    client: LabelStudioClient, project_id: int, field: str, value: Value, ids: list[int], *, broken: list[int]
) -> set[int]:
    try:
        updated = _call(client, project_id, field, value, ids)
    except LabelStudioError as error:
        # one task whose stored data is not an object fails the whole call: find it, go on with the others
        if error.status != 500 or len(broken) >= MOST_BROKEN:
            raise
        if len(ids) == 1:
            broken.append(ids[0])
            log.warning("project %d, task %d: cannot write %s: %s", project_id, ids[0], field, error)
            return set()
        half = len(ids) // 2
        first = _write(client, project_id, field, value, ids[:half], broken=broken)
        return first | _write(client, project_id, field, value, ids[half:], broken=broken)
    if updated == len(ids):
        return set(ids)
    there = existing_tasks(client, project_id, ids)
    log.info("project %d: %d of %d tasks are gone", project_id, len(ids) - len(there), len(ids))
    return there


def _call(client: LabelStudioClient, project_id: int, field: str, value: Value, ids: list[int]) -> int:
    """Write one value; return how many tasks Label Studio says it updated."""
    if not ids:
        raise ValueError("an empty list of ids would write the field of every task")
    path = "/api/dm/actions"
    body = {
        "value_name": field,
        "value_type": "String" if isinstance(value, str) else "Number",
        "value": value,
        "selectedItems": {"all": False, "included": ids},
    }
    # writing a constant twice is harmless, so a lost answer is asked for again
    answer = client.request(
        "POST", path, params={"id": "add_data_field", "project": project_id}, json=body, retry=True
    )
    match = _UPDATED.search(str(answer.get("detail", ""))) if isinstance(answer, dict) else None
    if match is None:
        hint = "Lineup knows Label Studio 1.23: is this another version?"
        raise LabelStudioError(200, "POST", path, f"unexpected answer {answer!r}", hint)
    return int(match[1])


def ensure_columns(client: LabelStudioClient, project_id: int, fields: Sequence[str]) -> bool:
    """Make the fields visible as columns again where Label Studio lost count of them; return whether it had.

    Label Studio counts one for each bulk call and takes one off for each deleted task, so deleting many tasks
    hides a column whose values are still there. Writing one task's own value once more makes it count every
    field of that task; resetting its summary would do too, but takes 5 s for 10,000 tasks.
    """
    answer = client.get("/api/dm/columns/", {"project": project_id})
    shown = {column["id"] for column in answer["columns"] if column.get("parent") == "data"}
    missing = set(fields) - shown
    task = first_task(client, project_id) if missing else None
    if task is None:
        return False
    task_id, data = task
    for field in sorted(missing):
        value = data.get(field)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return _call(client, project_id, field, value, [task_id]) == 1
    return False
