"""The snapshot keeps what was read, what is behind a URI, and what stands in Label Studio."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backend.snapshot import (
    AnnotationRecord,
    Content,
    History,
    Posted,
    ProjectInfo,
    SnapshotStore,
    TaskRecord,
)

ANNOTATION = AnnotationRecord(
    5, 2, False, False, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", [{"type": "choices"}]
)
TASK = TaskRecord(
    1, {"image": "/data/upload/1.png", "own": {"a": [1]}}, True, "2026-01-01T00:00:00Z", (ANNOTATION,)
)
INFO = ProjectInfo(7, "Birds", "<View/>", "2026-01-01T00:00:00Z", 1, "", "Sequential sampling")


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "project" / "snapshot.sqlite")


def test_what_is_kept_comes_back(store: SnapshotStore) -> None:
    store.save_project(INFO)
    store.upsert([TASK, replace(TASK, id=2, annotations=())])
    again = SnapshotStore(store.path).load()
    assert again.info == INFO
    assert again.tasks == {1: TASK, 2: replace(TASK, id=2, annotations=())}


def test_field_values_are_merged_into_the_data_and_nothing_else_is_touched(store: SnapshotStore) -> None:
    store.upsert([TASK])
    store.merge_data("lineup.odd name", {1: 0.5, 99: 1.0})
    store.merge_data("lineup_reason", {1: "model disagrees"})
    data = store.load().tasks[1].data
    assert data == {**TASK.data, "lineup.odd name": 0.5, "lineup_reason": "model disagrees"}


def test_deleting_a_task_forgets_its_history_and_predictions(store: SnapshotStore) -> None:
    store.upsert([TASK])
    store.put_histories([History(1, "cat", 2)])
    store.put_posted("choices-1-aaaaaaaa", {1: Posted(10, 0.5), 2: Posted(None, 0.5)})
    store.delete([1])
    assert store.load().tasks == {}
    assert store.histories() == {}
    assert store.posted("choices-1-aaaaaaaa") == {2: Posted(None, 0.5)}


def test_contents_by_uri(store: SnapshotStore) -> None:
    there, broken = Content("ab" * 16, None, 1.0, b"\x00" * 28), Content(None, "truncated", 2.0)
    store.put_contents({"a?x='1'": there, "b": broken})
    assert store.contents(["a?x='1'", "c"]) == {"a?x='1'": there}
    assert store.contents() == {"a?x='1'": there, "b": broken}


def test_posted_predictions_are_counted_by_version_and_forgotten_in_part(store: SnapshotStore) -> None:
    store.put_posted("v1", {1: Posted(10, 0.1), 2: Posted(11, 0.2)})
    store.put_posted("v2", {1: Posted(12, None)})
    assert store.posted_versions() == {"v1": 2, "v2": 1}
    store.delete_posted("v1", [2])
    store.delete_posted("v2")
    assert store.posted_versions() == {"v1": 1}


def test_a_database_without_measures_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "CREATE TABLE content (uri TEXT PRIMARY KEY, key TEXT, error TEXT, tried_at REAL NOT NULL)"
        )
        db.execute(
            "INSERT INTO content VALUES ('a', ?, NULL, 1.0), ('b', NULL, 'truncated', 2.0)", ("ab" * 16,)
        )
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute("INSERT INTO meta VALUES ('cursor', '\"then\"')")
    store = SnapshotStore(path)
    before = {"a": Content("ab" * 16, None, 1.0, None), "b": Content(None, "truncated", 2.0, None)}
    assert store.contents() == before
    assert store.get_meta("cursor") == "then"
    measured = Content("ab" * 16, None, 3.0, b"\x01" * 28)
    SnapshotStore(path).put_contents({"a": measured})
    assert SnapshotStore(path).contents() == {**before, "a": measured}
