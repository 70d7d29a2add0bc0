"""When a project counts as idle."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import activity
from backend.activity import is_idle, note_activity
from backend.snapshot import AnnotationRecord, Snapshot, SnapshotStore, TaskRecord


def snapshot(*stamps: str) -> Snapshot:
    annotations = tuple(AnnotationRecord(n, 1, False, False, at, at, []) for n, at in enumerate(stamps))
    return Snapshot(tasks={1: TaskRecord(1, {}, True, "", annotations)})


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    return SnapshotStore(tmp_path / "snapshot.sqlite")


def test_imported_annotations_do_not_count_and_new_ones_do(
    store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_idle(store, 60)
    note_activity(store, snapshot("2026-01-01T00:00:00Z"), submitting=False)
    assert is_idle(store, 60)
    # the server's clock may be years off: what counts is when the newer one was seen
    note_activity(store, snapshot("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"), submitting=False)
    assert not is_idle(store, 60)
    now = activity.time.time()
    monkeypatch.setattr(activity.time, "time", lambda: now + 61)
    assert is_idle(store, 60)
    note_activity(store, snapshot("2026-01-01T00:00:00.5Z"), submitting=False)
    assert is_idle(store, 60)


def test_a_first_look_in_the_middle_of_work(store: SnapshotStore) -> None:
    note_activity(store, snapshot("2026-01-01T00:00:00Z"), submitting=True)
    assert not is_idle(store, 60)
