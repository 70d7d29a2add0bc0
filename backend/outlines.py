"""The outlines of masks in the snapshot: in a table of their own, read when a result is looked into."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from backend.packed import PackedResult
from ml.masks import MaskError

if TYPE_CHECKING:
    from backend.snapshot import AnnotationRecord, TaskRecord

SCHEMA = """
CREATE TABLE IF NOT EXISTS outlines (
    task INTEGER NOT NULL, annotation INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (task, annotation));
"""
# in a stored annotation: its result's regions, whose outlines are in the table
_PACKED = "packed"

Row = tuple[int, int, bytes]
# reads the outlines of a task's annotation
Read = Callable[[int, int], bytes]


def split_off(task: TaskRecord, read: Read) -> tuple[TaskRecord, list[Row]]:
    """Return a task whose outlines are read from the table, and the rows to put there."""
    packed = {a.id: a.result for a in task.annotations if isinstance(a.result, PackedResult)}
    if not packed:
        return task, []
    rows = [(task.id, number, result.read()) for number, result in packed.items()]
    annotations = [
        replace(a, result=_on_disk(task.id, a.id, packed[a.id].line, read)) if a.id in packed else a
        for a in task.annotations
    ]
    return replace(task, annotations=tuple(annotations)), rows


def put_outlines(db: sqlite3.Connection, task_ids: Iterable[int], rows: Iterable[Row]) -> None:
    """Put the outlines of tasks in place of those they had."""
    db.executemany("DELETE FROM outlines WHERE task = ?", [(task_id,) for task_id in task_ids])
    db.executemany("INSERT OR REPLACE INTO outlines VALUES (?, ?, ?)", rows)


def read_outlines(db: sqlite3.Connection, task_id: int, annotation_id: int) -> bytes:
    """Return the outlines of an annotation.

    Raises
    ------
    MaskError
        If they are not there any more.
    """
    row = db.execute(
        "SELECT data FROM outlines WHERE task = ? AND annotation = ?", (task_id, annotation_id)
    ).fetchone()
    if row is None:
        raise MaskError(f"annotation {annotation_id} is gone, or has changed since it was read")
    return bytes(row[0])


def without_outlines(annotation: AnnotationRecord) -> dict[str, Any]:
    """Return an annotation as the table of tasks has it, for JSON."""
    result = annotation.result
    return {
        **{one.name: getattr(annotation, one.name) for one in fields(annotation)},
        "result": {_PACKED: result.line} if isinstance(result, PackedResult) else list(result),
    }


def with_outlines(task_id: int, raw: dict[str, Any], read: Read) -> dict[str, Any]:
    """Return the fields of an annotation that `without_outlines` wrote, its outlines read when asked for."""
    if isinstance(raw["result"], dict):
        raw["result"] = _on_disk(task_id, raw["id"], raw["result"][_PACKED], read)
    return raw


def _on_disk(task_id: int, annotation_id: int, line: str, read: Read) -> PackedResult:
    return PackedResult(line, partial(read, task_id, annotation_id))
