"""How well `lineup audit` finds and mends wrong labels, and how long 100,000 images take.

``python -m benchmarks audit --data DIR --weights FILE``. One label in ten is planted wrong; the usual recipe
(scikit-learn's LogisticRegression on five folds, cleanlab's self-confidence) sees the same vectors in the same process.
The large set is made up: files on disk whose vectors are in the cache, so that no image is embedded.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import average_precision_score

from benchmarks.data import Missing, Pack, load_vectors, open_packs
from benchmarks.metrics import best_f1, calibration_error, f1, precision_at
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, peak_memory, target_sheet
from benchmarks.scoring import timed, usual
from ml.audit import Places, audit, find, learn_from_vectors, write_audit
from ml.audit.findings import Findings
from ml.datasets import Example, read_dataset
from ml.datasets.embedding import Embedded
from ml.datasets.file_cache import FileCache, FileContent, FileState
from ml.quality import MEASURES
from ml.vectors import VectorStore, content_key

TRUTH = {"cifar10n_20k": "clean_label", "colors8_objects": "labels"}
WRONG = (0.02, 0.1, 0.3)
TARGET_SHARE = 0.1
SEEDS = {"cifar10n_20k": 1, "colors8_objects": 10}
PRECISIONS = (0.8, 0.9, 0.95)
RECALLS = np.linspace(0.02, 1.0, 50)
ROWS, DIM, CLASSES = 100_000, 1280, 10
SECONDS, GIB = 60.0, 4.0
_LONG_AGO = 1_600_000_000


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument(
        "--audit-rows", type=int, default=ROWS, help="images of the large set; 0 leaves it out"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Raises
    ------
    Missing
        If no set is there, or its vectors have to be made and there are no weights.
    """
    found: dict[str, Any] = {"sets": {}, "large": None}
    try:
        for pack in open_packs(list(TRUTH), options.data):
            X = load_vectors(pack, options.weights, options.cache)[: options.rows]
            found["sets"][pack.name] = measure_set(pack, X)
    except Missing:
        if not options.audit_rows:
            raise
        console.print("the sets are left out: no data or weights")
    if options.audit_rows:
        found["large"] = measure_large(options.audit_rows, options.cache)
    return found


def measure_set(pack: Pack, X: np.ndarray) -> dict[str, Any]:
    """Plant errors in a set's true labels, a few times, and find them again."""
    truth = pack.labels[TRUTH[pack.name]].astype(np.int64)[: len(X)]
    found = {}
    for share in WRONG:
        runs = [measure_planted(pack.name, X, truth, share, seed) for seed in range(SEEDS[pack.name])]
        curve = np.mean([run.pop("curve") for run in runs], axis=0).tolist()
        usual_curve = np.mean([run.pop("usual_curve") for run in runs], axis=0).tolist()
        mean = {key: float(np.mean([run[key] for run in runs])) for key in runs[0] if key != "corrections"}
        corrections = {}
        for precision in PRECISIONS:
            made = sum(run["corrections"][precision][0] for run in runs)
            right = sum(run["corrections"][precision][1] for run in runs)
            corrections[str(precision)] = {"made": made / len(runs), "right": right / made if made else None}
        found[str(share)] = {**mean, "curve": curve, "usual_curve": usual_curve, "corrections": corrections}
    return {"rows": len(X), "seeds": SEEDS[pack.name], "shares": found}


def measure_planted(name: str, X: np.ndarray, truth: np.ndarray, share: float, seed: int) -> dict[str, Any]:
    """Find what was planted, in both ways."""
    n_classes = int(truth.max()) + 1
    labels = plant(truth, share, seed)
    wrong = labels != truth
    with console.status(f"{name}, {share:.0%} wrong, {seed}: the usual recipe"):
        usual_seconds, (_, quality) = timed(lambda: usual(X, labels))
    with console.status(f"{name}, {share:.0%} wrong, {seed}: lineup audit"):
        examples = [Example(f"{row}.png", str(label), None, f"row {row}") for row, label in enumerate(labels)]
        keys = [f"{row:032x}" for row in range(len(X))]
        embedded = Embedded(examples, keys, X, np.full((len(X), len(MEASURES)), 1.0, np.float32))
        names = [str(number) for number in range(n_classes)]
        seconds, evidence = timed(lambda: learn_from_vectors(X, labels, n_classes, keys))
        made = {
            precision: find(embedded, labels, names, evidence, precision=precision)
            for precision in PRECISIONS
        }
    found = made[PRECISIONS[0]]
    listed = np.zeros(len(X), dtype=bool)
    listed[found.suspects] = True
    return {
        "planted": int(wrong.sum()),
        "expected": found.expected_wrong,
        "ap": float(average_precision_score(wrong, found.suspicion)),
        "usual_ap": float(average_precision_score(wrong, 1 - quality)),
        "f1": f1(wrong, listed),
        "best_f1": best_f1(wrong, found.suspicion),
        "ece": calibration_error(found.suspicion, wrong),
        "seconds": seconds,
        "usual_seconds": usual_seconds,
        "curve": precision_at(wrong, found.suspicion, RECALLS),
        "usual_curve": precision_at(wrong, 1 - quality, RECALLS),
        "corrections": {precision: corrected(one, truth) for precision, one in made.items()},
    }


def corrected(found: Findings, truth: np.ndarray) -> tuple[int, int]:
    """Return how many labels were corrected, and how many of them rightly."""
    rows = found.with_status("corrected")
    return len(rows), int((found.suggestion[rows] == truth[rows]).sum())


def plant(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return labels of which a share is another class, any with the same probability."""
    rng = np.random.default_rng(seed)
    n_classes = int(truth.max()) + 1
    labels = truth.copy()
    rows = rng.permutation(len(truth))[: round(share * len(truth))]
    labels[rows] = (labels[rows] + rng.integers(1, n_classes, len(rows))) % n_classes
    return labels


def measure_large(rows: int, cache: Path) -> dict[str, Any]:
    """Audit a large set on disk, in a process of its own, whose peak is its alone."""
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="audit-", dir=cache))
    try:
        with console.status(f"writing {rows:,} files"):
            write_large(folder, rows)
        with (
            console.status(f"lineup audit of {rows:,} images"),
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            return pool.submit(audit_large, folder).result()
    finally:
        shutil.rmtree(folder)


def write_large(folder: Path, rows: int) -> None:
    """Write images, ``labels.jsonl`` with one label in ten wrong, and their made-up vectors into a cache."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, rows)
    labels = plant(truth, TARGET_SHARE, 0)
    centres = rng.normal(size=(CLASSES, DIM)).astype(np.float32)
    embedder = NotNeeded()
    store = VectorStore(folder / "cache" / "vectors", embedder.fingerprint, DIM)
    lines = []
    with FileCache.opened(folder / "cache" / "images.sqlite", embedder.fingerprint) as contents:
        for start in range(0, rows, 5_000):
            part = range(start, min(start + 5_000, rows))
            seen = []
            for row in part:
                path = folder / "images" / f"{row // 1000:03d}" / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.frombytes("L", (8, 8), rng.bytes(64)).save(path)
                os.utime(path, (_LONG_AGO, _LONG_AGO))
                measures = np.array([8, 8, 0.9, 0.1, 60, 30, 6], np.float32)
                seen.append((path, FileState.of(path), FileContent(content_key(path.read_bytes()), measures)))
                image = path.relative_to(folder).as_posix()
                lines.append(json.dumps({"image": image, "label": f"class {labels[row]}"}))
            noise = rng.standard_normal((len(part), DIM), dtype=np.float32)
            store.put([one.key for _, _, one in seen], 0.25 * centres[truth[part.start : part.stop]] + noise)
            contents.keep(seen)
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.save(folder / "truth.npy", truth)


class NotNeeded:
    """An embedder whose vectors are all in the cache."""

    name, fingerprint, dim, image_size, batch_size, workers, device = (
        "made up",
        "made-up",
        DIM,
        8,
        64,
        2,
        "cpu",
    )
    note = None

    def __init__(self) -> None:
        self.weights: dict[str, str] = {}

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Refuse."""
        raise AssertionError("an image was embedded that has its vector in the cache")

    def forward(self, prepared: np.ndarray) -> np.ndarray:
        """Refuse."""
        raise AssertionError("an image was embedded that has its vector in the cache")


def audit_large(folder: Path) -> dict[str, Any]:
    """Audit what `write_large` wrote; seconds by step, and the process's peak memory before and after."""
    learn_from_vectors(  # imports and thread pools are not what is measured
        np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32),
        np.arange(200) % 2,
        2,
        [f"{row:032x}" for row in range(200)],
    )
    before, steps = peak_memory() / 2**30, {}
    last = time.perf_counter()

    def note(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        steps[name], last = now - last, now

    dataset = read_dataset(folder / "labels.jsonl")
    note("read labels.jsonl")
    started = ["look up vectors"]

    def step(name: str) -> None:
        if name == "judging":
            note("look up vectors")
            started[0] = "judge"

    found = audit(dataset, NotNeeded(), cache=folder / "cache", step=step)
    note("judge")
    write_audit(found, Places.of(dataset.source, folder / "out"), title="large", embedder="made up")
    note("write tables and report")
    truth = np.load(folder / "truth.npy")
    made, right = corrected(found, truth)
    numbers = np.array([int(name.split()[1]) for name in found.classes])
    return {
        "rows": len(found),
        "dim": DIM,
        "steps": steps,
        "seconds": sum(steps.values()),
        "peak_gib": peak_memory() / 2**30,
        "peak_before_gib": before,
        "ap": float(average_precision_score(numbers[found.labels] != truth, found.suspicion)),
        "expected": found.expected_wrong,
        "made": made,
        "right": right / max(made, 1),
        "megabytes_of_report": (folder / "out" / "report.html").stat().st_size / 1e6,
    }


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    found = []
    for name, one in figures["sets"].items():
        at = one["shares"][str(TARGET_SHARE)]
        wanted = min(0.9, 2 * at["usual_ap"])
        found.append(at_least(f"average precision, {name}, {TARGET_SHARE:.0%} planted", at["ap"], wanted))
        right = at["corrections"]["0.9"]["right"]
        found.append(
            at_least(
                f"right of the corrections at a wanted 90 %, {name}",
                float("nan") if right is None else right,
                0.9,
            )
        )
    if large := figures["large"]:
        what = f"{large['rows']:,} images of {large['dim']} dimensions"
        found.append(at_most(f"{what}: seconds", large["seconds"], SECONDS, "{:.1f}"))
        found.append(at_most(f"{what}: GiB at most held", large["peak_gib"], GIB, "{:.1f}"))
    return found


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    found = {"targets": target_sheet("audit", targets(figures))}
    if figures["sets"]:
        found["planted"] = Sheet(
            "Planted errors",
            (
                "images", "wrong", "average precision", "usual recipe", "F1 chosen", "best F1", "expected",
                "planted", "calibration error", "seconds", "usual recipe",
            ),
            [row for name, one in figures["sets"].items() for row in _planted_rows(name, one)],
        )  # fmt: skip
        found["corrections"] = Sheet(
            "Corrections: right of those made (made)",
            ("images", "wrong", *(f"wanted {precision:.0%}" for precision in PRECISIONS)),
            [
                (
                    name,
                    f"{float(share):.0%}",
                    *(_came(at["corrections"][str(precision)]) for precision in PRECISIONS),
                )
                for name, one in figures["sets"].items()
                for share, at in one["shares"].items()
            ],
        )
    if large := figures["large"]:
        found["large"] = Sheet(
            f"{large['rows']:,} images of {large['dim']} dimensions, vectors cached",
            ("step", "seconds"),
            [
                *((name, f"{seconds:.1f}") for name, seconds in large["steps"].items()),
                ("together", f"{large['seconds']:.1f}"),
                (
                    "peak memory, GiB (of these before)",
                    f"{large['peak_gib']:.2f} ({large['peak_before_gib']:.2f})",
                ),
            ],
        )
    return found


def _planted_rows(name: str, one: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{float(share):.0%}",
            *(f"{at[key]:.3f}" for key in ("ap", "usual_ap", "f1", "best_f1")),
            f"{at['expected']:,.0f}",
            f"{at['planted']:,.0f}",
            f"{at['ece']:.3f}",
            *(f"{at[key]:.2f}" for key in ("seconds", "usual_seconds")),
        )
        for share, at in one["shares"].items()
    ]


def _came(found: dict[str, Any]) -> str:
    return "none" if found["right"] is None else f"{found['right']:.1%} ({found['made']:,.0f})"


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw precision against recall beside the usual recipe's, for one label in ten wrong."""
    with drawing(path, max(len(figures["sets"]), 1)) as axes:
        for one, (name, found) in zip(axes, figures["sets"].items(), strict=False):
            at = found["shares"][str(TARGET_SHARE)]
            one.plot(RECALLS, at["curve"], label="lineup audit")
            one.plot(RECALLS, at["usual_curve"], linestyle=":", label="usual recipe")
            one.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), title=name)
