"""What Lineup knows of a project: the last read state of its tasks, kept in one SQLite file per project."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from backend.outlines import SCHEMA as OUTLINES
from backend.outlines import put_outlines, read_outlines, split_off, with_outlines, without_outlines
from backend.sqlite_file import connected, create
from backend.storage import is_storage_error

SNAPSHOT = "snapshot.sqlite"
# meta: whether a publish has begun and not ended, so that what stands in Label Studio is not known for certain
PUBLISHING = "publishing"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, is_labeled INTEGER NOT NULL,
    data TEXT NOT NULL, annotations TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS judged (task INTEGER PRIMARY KEY, label TEXT NOT NULL, findings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS content (
    uri TEXT PRIMARY KEY, key TEXT, error TEXT, tried_at REAL NOT NULL, measures BLOB);
CREATE TABLE IF NOT EXISTS history (
    task INTEGER PRIMARY KEY, given TEXT NOT NULL, given_by INTEGER, suspected_state TEXT);
CREATE TABLE IF NOT EXISTS posted (
    version TEXT NOT NULL, task INTEGER NOT NULL, prediction INTEGER, score REAL, PRIMARY KEY (version, task));
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_CONTENT = "uri, key, error, tried_at, measures"


@dataclass(frozen=True, slots=True)
class AnnotationRecord:
    """One annotation as Label Studio stores it; times are ISO 8601 in UTC, as sent.

    A result with masks may be a `backend.packed.PackedResult`.
    """

    id: int
    completed_by: int | None
    ground_truth: bool
    was_cancelled: bool
    created_at: str
    updated_at: str
    result: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task with raw (unresolved) data and its submitted annotations, skips included, drafts not."""

    id: int
    data: dict[str, Any]
    is_labeled: bool
    updated_at: str
    annotations: tuple[AnnotationRecord, ...] = ()
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """The part of a Label Studio project that Lineup acts on."""

    id: int
    title: str
    label_config: str
    created_at: str
    task_number: int
    model_version: str
    sampling: str
    maximum_annotations: int = 1


@dataclass(frozen=True, slots=True)
class Content:
    """What is behind an image URI: the digest of its bytes, or the reason it cannot be used.

    ``measures`` are those of `ml.quality.measure` as little-endian float32; None where they were not taken.
    """

    key: str | None
    error: str | None
    tried_at: float
    measures: bytes | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A prediction that stands in Label Studio; its id or score is None where it is not known."""

    prediction: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class History:
    """What a task's label was when Lineup first saw it, and how its annotations stood when it was called suspect.

    ``suspected_state`` is the digest of the annotations shown to reviewers; a different digest later means that a
    person has looked. None: never suspect.
    """

    task: int
    given: str
    given_by: int | None = None
    suspected_state: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found on a task's label beyond its fields.

    Attributes
    ----------
    label : str
        The label that was judged, as `Kind.text` has it: of another one the findings say nothing.
    findings : dict
        Of masks, ``dice`` is the mean Dice of label and out-of-sample prediction over the classes that one of them
        has, in [0, 1], and ``dice_by_class`` that of each such class by name; more may stand there.
    """

    label: str
    findings: dict[str, Any]


@dataclass
class Snapshot:
    """Everything a refresh works on, in memory."""

    info: ProjectInfo | None = None
    tasks: dict[int, TaskRecord] = field(default_factory=dict)


class SnapshotStore:
    """Read and write one project's snapshot; several processes may read while one refresh writes.

    Parameters
    ----------
    path : Path
        The SQLite file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        create(path, _SCHEMA + OUTLINES)
        with self._connect() as db:
            _add_missing_columns(db)

    def _connect(self) -> AbstractContextManager[sqlite3.Connection]:
        return connected(self.path)

    @classmethod
    def for_reading(cls, path: Path) -> SnapshotStore:
        """Return a store for one who only reads: it reads on where the disk is full or read-only.

        SQLite needs room beside the file even to read it. Without, what was stored last is read as it stands, which
        is safe as long as nobody can write.
        """
        try:
            return cls(path)
        except (OSError, sqlite3.Error) as error:
            if not is_storage_error(error) or not path.exists():
                raise
            return _FrozenStore(path)

    # tasks -----------------------------------------------------------------------------------------
    def load(self) -> Snapshot:
        """Return the whole snapshot."""
        info = self.get_meta("project")
        with self._connect() as db:
            rows = db.execute(
                "SELECT id, updated_at, is_labeled, data, annotations, created_at FROM tasks"
            ).fetchall()
        tasks = {
            row[0]: TaskRecord(
                id=row[0],
                updated_at=row[1],
                is_labeled=bool(row[2]),
                data=json.loads(row[3]),
                annotations=tuple(
                    AnnotationRecord(**with_outlines(row[0], a, self._outlines)) for a in json.loads(row[4])
                ),
                created_at=row[5],
            )
            for row in rows
        }
        return Snapshot(ProjectInfo(**info) if info else None, tasks)

    def save_project(self, info: ProjectInfo) -> None:
        """Remember the project's own record."""
        self.set_meta("project", asdict(info))

    def upsert(self, tasks: Iterable[TaskRecord]) -> list[TaskRecord]:
        """Insert or replace tasks; return them as `load` does, with the outlines of masks on disk alone."""
        split = [split_off(task, self._outlines) for task in tasks]
        stored = [task for task, _ in split]
        rows = [
            {
                **{name: getattr(task, name) for name in ("id", "created_at", "updated_at", "is_labeled")},
                "data": json.dumps(task.data),
                "annotations": json.dumps([without_outlines(a) for a in task.annotations]),
            }
            for task in stored
        ]
        with self._connect() as db:
            db.executemany(
                "INSERT OR REPLACE INTO tasks (id, created_at, updated_at, is_labeled, data, annotations) "
                "VALUES (:id, :created_at, :updated_at, :is_labeled, :data, :annotations)",
                rows,
            )
            put_outlines(db, (task.id for task in stored), [row for _, rows in split for row in rows])
        return stored

    def _outlines(self, task_id: int, annotation_id: int) -> bytes:
        with self._connect() as db:
            return read_outlines(db, task_id, annotation_id)

    def delete(self, task_ids: Iterable[int]) -> None:
        """Forget tasks and their history."""
        ids = [(task_id,) for task_id in task_ids]
        with self._connect() as db:
            db.executemany("DELETE FROM tasks WHERE id = ?", ids)
            db.executemany("DELETE FROM history WHERE task = ?", ids)
            db.executemany("DELETE FROM posted WHERE task = ?", ids)
            db.executemany("DELETE FROM outlines WHERE task = ?", ids)
            db.executemany("DELETE FROM judged WHERE task = ?", ids)

    def merge_data(self, name: str, values: Mapping[int, Any]) -> None:
        """Record that the task field ``name`` now has these values in Label Studio (task id to value)."""
        with self._connect() as db:
            db.executemany(
                "UPDATE tasks SET data = json_set(data, '$.' || ?, json(?)) WHERE id = ?",
                [(json.dumps(name), json.dumps(value), task_id) for task_id, value in values.items()],
            )

    # content ---------------------------------------------------------------------------------------
    def contents(self, uris: Iterable[str] | None = None) -> dict[str, Content]:
        """Return what is known of image URIs: all, or those asked for."""
        with self._connect() as db:
            if uris is None:
                rows = db.execute(f"SELECT {_CONTENT} FROM content").fetchall()
            else:
                asked = json.dumps(list(uris))
                rows = db.execute(
                    f"SELECT {_CONTENT} FROM content WHERE uri IN (SELECT value FROM json_each(?))",
                    (asked,),
                ).fetchall()
        return {row[0]: Content(*row[1:]) for row in rows}

    def put_contents(self, contents: Mapping[str, Content]) -> None:
        """Remember what is behind image URIs."""
        with self._connect() as db:
            db.executemany(
                f"INSERT OR REPLACE INTO content ({_CONTENT}) VALUES (?, ?, ?, ?, ?)",
                [(uri, c.key, c.error, c.tried_at, c.measures) for uri, c in contents.items()],
            )

    def has_broken_before(self, tried_at: float) -> bool:
        """Tell whether an image in use could not be read when last tried, before this moment (since the epoch)."""
        with self._connect() as db:
            row = db.execute(
                "SELECT 1 FROM content WHERE key IS NULL AND tried_at < ? LIMIT 1", (tried_at,)
            ).fetchone()
        return row is not None

    # history ---------------------------------------------------------------------------------------
    def histories(self) -> dict[int, History]:
        """Return what labels tasks had when first seen, by task id."""
        with self._connect() as db:
            rows = db.execute("SELECT task, given, given_by, suspected_state FROM history").fetchall()
        return {row[0]: History(*row) for row in rows}

    def put_histories(self, histories: Iterable[History]) -> None:
        """Insert or replace histories."""
        rows = [(h.task, h.given, h.given_by, h.suspected_state) for h in histories]
        with self._connect() as db:
            db.executemany("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?)", rows)

    # findings ----------------------------------------------------------------------------------------
    def judged(self) -> dict[int, Judged]:
        """Return what was found on the tasks that were judged, by task id."""
        with self._connect() as db:
            rows = db.execute("SELECT task, label, findings FROM judged").fetchall()
        return {row[0]: Judged(row[1], json.loads(row[2])) for row in rows}

    def put_judged(self, judged: Mapping[int, Judged]) -> None:
        """Remember what was found on tasks, in place of what was found on them before."""
        with self._connect() as db:
            db.executemany(
                "INSERT OR REPLACE INTO judged VALUES (?, ?, ?)",
                [(task, one.label, json.dumps(one.findings)) for task, one in judged.items()],
            )

    # predictions stored in Label Studio ------------------------------------------------------------
    def posted(self, version: str) -> dict[int, Posted]:
        """Return the predictions of one version, by task id."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT task, prediction, score FROM posted WHERE version = ?", (version,)
            ).fetchall()
        return {task: Posted(prediction, score) for task, prediction, score in rows}

    def posted_versions(self) -> dict[str, int]:
        """Return the versions that have predictions in Label Studio, and how many each."""
        with self._connect() as db:
            return dict(db.execute("SELECT version, count(*) FROM posted GROUP BY version").fetchall())

    def put_posted(self, version: str, predictions: Mapping[int, Posted]) -> None:
        """Remember predictions (by task id) that now stand in Label Studio."""
        with self._connect() as db:
            db.executemany(
                "INSERT OR REPLACE INTO posted VALUES (?, ?, ?, ?)",
                [(version, task, posted.prediction, posted.score) for task, posted in predictions.items()],
            )

    def delete_posted(self, version: str, tasks: Iterable[int] | None = None) -> None:
        """Forget predictions of a version: all, or those of some tasks."""
        with self._connect() as db:
            if tasks is None:
                db.execute("DELETE FROM posted WHERE version = ?", (version,))
            else:
                db.executemany(
                    "DELETE FROM posted WHERE version = ? AND task = ?", [(version, t) for t in tasks]
                )

    # meta ------------------------------------------------------------------------------------------
    def get_meta(self, name: str) -> Any:
        """Return a JSON value kept under ``name``, or None."""
        with self._connect() as db:
            row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value under ``name``; the same value again writes nothing."""
        with self._connect() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value "
                "WHERE value <> excluded.value",
                (name, json.dumps(value)),
            )


class _FrozenStore(SnapshotStore):
    """A store whose file nobody can write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)) as db:
            yield db


def _add_missing_columns(db: sqlite3.Connection) -> None:
    """Bring a database of an earlier Lineup up to date; everything in it stays."""
    if "measures" in _columns(db, "content"):
        return
    db.execute("BEGIN IMMEDIATE")  # the server and the worker may both be the first to look
    if "measures" not in _columns(db, "content"):
        db.execute("ALTER TABLE content ADD COLUMN measures BLOB")


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
