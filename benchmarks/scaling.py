"""What one project costs by its number of tasks: seconds and memory of a refresh, without Label Studio and images.

``python -m benchmarks scaling``. Made-up vectors and labels go through the real steps, from the snapshot's file to the
fields that differ, each size in a process of its own: first a refresh of a worker that has just started, then one after
another label.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from backend.classification.judging import judge_labels, verdict
from backend.classification.learning import Classified, learn
from backend.columns import differences
from backend.embedding import Embedded, EmbeddingRoom
from backend.embedding.stage import EmbeddingStage
from backend.labelstudio.config import find_kind
from backend.labelstudio.fetch import ImageFetcher
from backend.labelstudio.kind import Kind
from backend.looks import look
from backend.ordering import line_up, rank
from backend.settings import Settings
from backend.snapshot import AnnotationRecord, Content, SnapshotStore, TaskRecord
from backend.targets import Targets, build_targets, first_labels
from benchmarks.report import Sheet, Target, at_most, console, drawing, peak_memory, target_sheet
from ml.embedders import Embedder
from ml.images import ImageLimits
from ml.quality import MEASURES
from ml.survey import Survey
from ml.vectors import VectorStore

SIZES = (10_000, 100_000, 300_000)
CLASSES, DIM = 10, 512
LABELLED = 0.1
CHUNK = 20_000
STEPS = ("read", "look up", "look", "learn", "judge", "order", "compare")


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--tasks", type=int, nargs="+", default=list(SIZES), help="sizes of the project")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every size."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for n in options.tasks:
        with (
            tempfile.TemporaryDirectory(prefix="lineup-scaling-") as folder,
            console.status(f"{n:,} tasks"),
        ):
            for step in (_fill, _measure):  # what filling takes is no part of a refresh's memory
                with context.Pool(1) as pool:
                    found[str(n)] = pool.apply(step, (Path(folder), n))
    return {"labelled": LABELLED, "classes": CLASSES, "dim": DIM, "sizes": found}


def _fill(folder: Path, n: int) -> None:
    """Write a project of ``n`` tasks as refreshes leave it."""
    rng = np.random.default_rng(0)
    store, vectors = (
        SnapshotStore(folder / "snapshot.sqlite"),
        VectorStore(folder / "vectors", "made-up", DIM),
    )
    centres = rng.normal(size=(CLASSES, DIM)).astype(np.float32)
    for start in range(0, n, CHUNK):
        rows = range(start, min(n, start + CHUNK))
        of = rng.integers(0, CLASSES, len(rows))
        X = 0.3 * centres[of] + rng.standard_normal((len(rows), DIM), dtype=np.float32)
        keys = [f"{row:032x}" for row in rows]
        vectors.put(keys, X)
        measures = rng.uniform(0.3, 0.7, (len(rows), len(MEASURES))).astype("<f4")
        store.put_contents(
            {
                _uri(row): Content(key, None, 0.0, measure.tobytes())
                for row, key, measure in zip(rows, keys, measures, strict=True)
            }
        )
        wrong = rng.random(len(rows)) < 0.05
        given = np.where(wrong, rng.integers(0, CLASSES, len(rows)), of)
        store.upsert(
            _task(row, int(label), labelled=row % int(1 / LABELLED) == 0)
            for row, label in zip(rows, given, strict=True)
        )


def _uri(row: int) -> str:
    return f"/data/local-files/?d=images/{row:09d}.jpg"


def _task(row: int, label: int, *, labelled: bool) -> TaskRecord:
    data = {
        "image": _uri(row),
        "lineup_priority": 0.5,
        "lineup_suspicion": 0.0,
        "lineup_suggestion": f"class {label}",
        "lineup_confidence": 0.5,
        "lineup_reason": "",
    }
    return TaskRecord(row + 1, data, labelled, _NOW, (_annotation(row, label),) if labelled else (), _NOW)


_NOW = "2026-01-01T00:00:00.000000Z"


def _annotation(row: int, label: int) -> AnnotationRecord:
    result = [
        {
            "from_name": "label",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": [f"class {label}"]},
        }
    ]
    return AnnotationRecord(row + 1, 1, False, False, _NOW, _NOW, result)


def _measure(folder: Path, n: int) -> dict[str, Any]:
    """Run two refreshes' steps over a filled folder."""
    choices = "".join(f'<Choice value="class {number}"/>' for number in range(CLASSES))
    kind = find_kind(
        f'<View><Image name="image" value="$image"/><Choices name="label" toName="image">{choices}</Choices></View>'
    )
    work = _Refresh(folder, kind)
    before = peak_memory()
    first = work.run()
    store = work.store
    task = store.load().tasks[2]
    store.upsert([replace(task, is_labeled=True, annotations=(_annotation(1, 3),))])
    then = work.run()
    return {
        "first": first,
        "next": then,
        "accuracy": work.accuracy,
        "suspects": work.suspects,
        "memory": peak_memory(),
        "started": before,
        "snapshot": (folder / "snapshot.sqlite").stat().st_size,
        "vectors": sum(path.stat().st_size for path in (folder / "vectors").rglob("*") if path.is_file()),
    }


class _Refresh:
    """The steps of `backend.refresh.Refresher` that need no Label Studio, with what it keeps between refreshes."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.settings = Settings(_env_file=None, model_dir=folder)
        self.store = SnapshotStore(folder / "snapshot.sqlite")
        embedder = cast(Embedder, SimpleNamespace(fingerprint="made-up", dim=DIM))
        stage = EmbeddingStage(embedder, cast(ImageFetcher, None), ImageLimits())
        self.room = EmbeddingRoom(self.store, VectorStore(folder / "vectors", "made-up", DIM), stage)
        self.kind = kind
        self.learned: Classified | None = None
        self.survey: Survey | None = None
        self.seconds: dict[str, float] = {}
        self.accuracy, self.suspects = 0.0, 0

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note the seconds of a step."""
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began

    def run(self) -> dict[str, float]:
        """Do every step; return its seconds."""
        self.seconds = {}
        with self.timed("read"):
            snapshot = self.store.load()
            targets = build_targets(snapshot, self.kind, ())
            self.store.put_histories(first_labels(targets, self.kind, self.store.histories()))
        with self.timed("look up"):
            embedded = self.room.embed(1, targets.ids.tolist(), targets.uris, _silent)
        with self.timed("look"):
            looks, self.survey = look(embedded, self.settings.outliers, self.survey)
        with self.timed("learn"):
            warm = self.learned.fit if self.learned else None
            learned = self.learned = learn(targets, embedded, self.kind, warm=warm)
        checked = np.zeros(len(targets.ids), dtype=bool)
        with self.timed("judge"):
            histories = self.store.histories()
            judgement = judge_labels(
                targets, embedded, learned, self.kind, checked, histories, looks, self.settings
            )
        with self.timed("order"):
            ranked = self._rank(targets, embedded, learned)
            lineup = line_up(
                targets,
                embedded,
                learned,
                verdict(judgement, targets, embedded, self.kind) if judgement else None,
                ranked,
                checked,
                noted=looks.reasons(targets.agreement),
                head=self.settings.head_size,
            )
        with self.timed("compare"):
            present = {task_id: task.data for task_id, task in snapshot.tasks.items()}
            differences(
                lineup.rows,
                present,
                self.settings.field_prefix,
                exact=False,
                threshold=lineup.threshold,
                head=lineup.queue[: self.settings.head_size],
            )
        self.accuracy, self.suspects = learned.accuracy or 0.0, lineup.suspects
        return dict(self.seconds)

    def _rank(self, targets: Targets, embedded: Embedded, learned: Classified) -> list[int]:
        settings = self.settings
        return rank(
            targets,
            embedded,
            learned,
            strategy=settings.strategy,
            exploration=settings.exploration,
            head=settings.head_size,
            seed=0,
        )


def _silent(step: str, done: int, total: int) -> None:
    """Report nothing."""


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at, at the size a project should not exceed."""
    one = figures["sizes"].get("100000")
    if one is None:
        return []
    return [
        at_most(
            "100,000 tasks: refresh after another label; seconds", sum(one["next"].values()), 10.0, "{:.1f}"
        ),
        at_most("100,000 tasks: memory of the worker; GB", one["memory"] / 1e9, 2.0, "{:.2f}"),
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    sizes = figures["sizes"]
    columns = ("tasks", *(f"{int(n):,}" for n in sizes))
    rows = [
        (f"{which}: {step}, seconds", *(f"{one[which][step]:.2f}" for one in sizes.values()))
        for which in ("first", "next")
        for step in STEPS
    ]
    sums = [
        (f"**{what}, seconds**", *(f"**{sum(one[which].values()):.1f}**" for one in sizes.values()))
        for which, what in (("first", "after a start"), ("next", "after another label"))
    ]
    sums.append(
        ("**memory of the worker, GB**", *(f"**{one['memory'] / 1e9:.2f}**" for one in sizes.values()))
    )
    sums.append(
        ("of it before the first refresh, GB", *(f"{one['started'] / 1e9:.2f}" for one in sizes.values()))
    )
    sums.append(("snapshot on disk, MB", *(f"{one['snapshot'] / 1e6:.0f}" for one in sizes.values())))
    sums.append(("vectors on disk, MB", *(f"{one['vectors'] / 1e6:.0f}" for one in sizes.values())))
    title = f"A refresh without Label Studio: {figures['dim']} dimensions, {figures['labelled']:.0%} labelled"
    return {
        "targets": target_sheet("scaling", targets(figures)),
        "summary": Sheet(title, columns, sums),
        "steps": Sheet("by step", columns, rows),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw seconds and memory by number of tasks."""
    sizes = figures["sizes"]
    tasks = [int(n) for n in sizes]
    with drawing(path, 2) as (seconds, memory):
        for which, label in (("first", "after a start"), ("next", "after another label")):
            seconds.plot(tasks, [sum(one[which].values()) for one in sizes.values()], marker="o", label=label)
        memory.plot(tasks, [one["memory"] / 1e9 for one in sizes.values()], marker="o", label="peak")
        for one, unit in ((seconds, "seconds of a refresh"), (memory, "GB of the worker")):
            one.set(xscale="log", yscale="log", xlabel="tasks", ylabel=unit)
