"""Campaigns on real images: labelled sets replayed as if they were being labelled, each kept when it is done."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from benchmarks.data import Pack, load_vectors
from benchmarks.report import console
from benchmarks.stop_signal import watch
from ml.acquisition.campaign import replay
from ml.heads.logistic import fit_logistic

BUDGETS = (20, 35, 50, 75, 100, 150, 200, 300, 450, 700, 1000, 1400, 2000)
PURE = "auto without exploration"
ALL_LABELS = "all labels"
TEST = {"fashion_mnist_14k": 4000, "flowers5_128": 1000, "cifar10n_20k": 4000}
LABELS = {
    "fashion_mnist_14k": ("train_labels", "test_labels"),
    "flowers5_128": ("labels",),
    "cifar10n_20k": ("clean_label",),
}


@dataclass(frozen=True)
class Split:
    """A set, split at random into what can be labelled and what accuracy is measured on."""

    X: np.ndarray
    y: np.ndarray
    test_X: np.ndarray
    test_y: np.ndarray
    n_classes: int


def classes_of(pack: Pack) -> np.ndarray:
    """Return the true class of each image, in the order of the images."""
    parts = [pack.labels[key] for key in LABELS[pack.name]]
    return np.concatenate(parts).astype(np.int64)


def leading_axes(X: np.ndarray, n_axes: int) -> np.ndarray:
    """Reduce vectors to their leading axes, turned so that every column has the same spread.

    A campaign refits the head dozens of times: 256 axes of 1,280 cost a fifth of the time. The head scales
    columns by their spread, which would flatten the axes, so they are turned at random.
    """
    spread = X.var(axis=0)
    rows = (X - X.mean(axis=0)) / np.sqrt(0.5 * spread + 0.5 * spread.mean())
    _, axes = np.linalg.eigh(rows.T @ rows)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(n_axes, n_axes)))
    return np.ascontiguousarray(rows @ (axes[:, ::-1][:, :n_axes] @ turn)).astype(np.float32)


def split(X: np.ndarray, y: np.ndarray, n_test: int, seed: int) -> Split:
    """Split at random; every seed has a test set of its own, so its noise averages out too."""
    shuffled = np.random.default_rng(1000 + seed).permutation(len(X))
    test, train = shuffled[:n_test], shuffled[n_test:]
    return Split(X[train], y[train], X[test], y[test], int(y.max()) + 1)


def full_accuracy(data: Split, seed: int) -> float:
    """Accuracy on the test rows with every training row labelled."""
    folds = np.random.default_rng(seed).integers(0, 3, len(data.y))
    head = fit_logistic(data.X, data.y, data.n_classes, folds).head
    return float((head.predict_proba(data.test_X).argmax(axis=1) == data.test_y).mean())


def run_campaign(
    name: str, strategy: str, data: Split, seed: int, budgets: Sequence[int], exploration: float
) -> dict[str, Any]:
    """Replay one campaign; for auto, also what the stop signal said on the way."""
    signals: list[dict[str, float]] = []
    began = time.perf_counter()
    curve = replay(
        "auto" if strategy == PURE else strategy,
        data.X,
        data.y,
        data.test_X,
        data.test_y,
        budgets=budgets,
        n_classes=data.n_classes,
        seed=seed,
        exploration=exploration if strategy == "auto" else 0.0,
        on_step=watch(data.X, data.y, seed, signals) if strategy == "auto" else None,
    )
    return {
        "set": name,
        "strategy": strategy,
        "seed": seed,
        "accuracy": list(curve.accuracy),
        "area": curve.area,
        "seconds": round(time.perf_counter() - began, 2),
        "signals": signals,
    }


def run_all(
    packs: Sequence[Pack], strategies: Sequence[str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run what is not kept yet; return all records of the sets, strategies and seeds asked for.

    Raises
    ------
    Missing
        If vectors have to be made and there are no weights.
    """
    budgets = tuple(options.budgets)
    log = _log(options.cache, options.axes, options.exploration, budgets)
    kept = _read(log)
    named = {pack.name: pack for pack in packs}
    wanted = [(n, s, seed) for seed in range(options.seeds) for n in named for s in [*strategies, ALL_LABELS]]
    reduced: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("campaigns", total=len(wanted))
        for name, strategy, seed in wanted:
            if (name, strategy, seed) not in kept:
                if name not in reduced:
                    X = load_vectors(named[name], options.weights, options.cache)
                    X = leading_axes(X, options.axes) if options.axes else X
                    reduced[name] = (X, classes_of(named[name]))
                X, y = reduced[name]
                data = split(X, y, min(TEST[name], len(X) // 3), seed)
                record = (
                    {"set": name, "strategy": strategy, "seed": seed, "area": full_accuracy(data, seed)}
                    if strategy == ALL_LABELS
                    else run_campaign(name, strategy, data, seed, budgets, options.exploration)
                )
                kept[name, strategy, seed] = record
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
            progress.advance(task)
    return [kept[key] for key in wanted]


def _log(cache: Path, axes: int, exploration: float, budgets: tuple[int, ...]) -> Path:
    """Return the file campaigns of one kind are kept in."""
    cache.mkdir(parents=True, exist_ok=True)
    other = "" if budgets == BUDGETS else "-" + "-".join(map(str, budgets))
    return cache / f"campaigns-{axes}-{exploration}{other}.jsonl"


def _read(log: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines]
    return {(one["set"], one["strategy"], one["seed"]): one for one in records}
