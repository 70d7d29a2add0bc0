"""Bring the snapshot up to date with the project: read what changed, drop what is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.reader import may_have_masks, parse_time, read_task_ids, read_tasks
from backend.snapshot import ProjectInfo, Snapshot, SnapshotStore, TaskRecord

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReadResult:
    """The snapshot after a read, and how many tasks were new, different or gone."""

    snapshot: Snapshot
    changed: int
    deleted: int


def read(
    client: LabelStudioClient,
    store: SnapshotStore,
    info: ProjectInfo,
    progress: Progress,
    *,
    full: bool = False,
) -> ReadResult:
    """Update ``store`` from Label Studio and return the snapshot.

    Tasks are read incrementally by ``updated_at``. Deleted tasks leave no trace there, so the number of tasks the
    project counts is compared with the number known, and only where they differ are all ids listed.

    Parameters
    ----------
    info : ProjectInfo
        The project's own record, just read.
    full : bool
        Read every task anew.
    """
    snapshot = store.load()
    since = None if full else store.get_meta("cursor")
    changed = _pull(client, store, snapshot, info, since, progress)
    deleted = 0
    if full or len(snapshot.tasks) != info.task_number:
        there = read_task_ids(client, info.id)
        if there - set(snapshot.tasks):
            changed += _pull(client, store, snapshot, info, None, progress)
        gone = set(snapshot.tasks) - there
        store.delete(gone)
        deleted = len(gone)
        for task_id in gone:
            del snapshot.tasks[task_id]
    if snapshot.info != info:
        store.save_project(info)
        snapshot.info = info
    if snapshot.tasks:
        store.set_meta("cursor", max((task.updated_at for task in snapshot.tasks.values()), key=parse_time))
    log.debug("project %d: %d changed, %d gone, %d known", info.id, changed, deleted, len(snapshot.tasks))
    return ReadResult(snapshot, changed, deleted)


def _pull(
    client: LabelStudioClient,
    store: SnapshotStore,
    snapshot: Snapshot,
    info: ProjectInfo,
    since: str | None,
    progress: Progress,
) -> int:
    """Read pages into store and snapshot; return how many tasks are new or say something new."""
    count = changed = 0
    known = {task_id: task.updated_at for task_id, task in snapshot.tasks.items()} if since else {}
    masks = may_have_masks(info.label_config)
    for page in read_tasks(client, info.id, since=since, known=known, masks=masks):
        fresh = [task for task in page if not _same(snapshot.tasks.get(task.id), task)]
        if fresh:  # told before it is stored: a read cut short must not make the next one find nothing new
            store.set_meta("unfinished", True)
        # Label Studio on SQLite gives the id of a deleted task to the next new one
        store.delete(task.id for task in page if _reborn(snapshot.tasks.get(task.id), task))
        stored = store.upsert(page)
        # Lineup's own predictions touch updated_at too: a task has changed only if it says something new
        changed += len(fresh)
        snapshot.tasks.update({task.id: task for task in stored})
        count += len(page)
        progress("read", count, max(info.task_number, count) if since is None else count)
    return changed


def _same(before: TaskRecord | None, after: TaskRecord) -> bool:
    return before is not None and replace(before, updated_at=after.updated_at) == after


def _reborn(before: TaskRecord | None, after: TaskRecord) -> bool:
    return before is not None and before.created_at != after.created_at
