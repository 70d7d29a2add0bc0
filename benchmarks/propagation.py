"""What propagating labels is worth: how many images people label, and how right all labels are then.

``python -m benchmarks propagation --data DIR --weights FILE``. From a few labelled images the pool gets labels or goes
to people, who answer rightly; random and margin selection send as many images to people, and a classifier labels the
rest, in the same run.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Pack, load_vectors, open_packs
from benchmarks.report import Sheet, Target, at_least, console, drawing, target_sheet
from ml.acquisition import Pool, find_strategy
from ml.learners import choices
from ml.propagation import propagate

SETS = ("cifar10n_20k", "fashion_mnist_14k", "flowers5_128")
TRUTH = {"cifar10n_20k": "clean_label"}
START = (0.02, 0.1)  # of the images that are labelled at first, 200 at least
PRECISIONS = (0.9, 0.95)
BATCHES = 5  # in which margin selection asks: each learns from the answers to the last


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--propagation-sets", default=",".join(SETS))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every set.

    Raises
    ------
    Missing
        If data or weights are not there.
    """
    found = []
    for pack in open_packs(options.propagation_sets.split(","), options.data):
        y = _truth(pack)
        X = load_vectors(pack, options.weights, options.cache)[: len(y)]
        for share in START:
            for precision in PRECISIONS:
                with console.status(f"{pack.name}, {share:.0%} labelled, precision {precision}"):
                    found.append(
                        {
                            "set": pack.name,
                            "start": share,
                            "precision": precision,
                            **measure(X, y, share, precision),
                        }
                    )
    return {"runs": found}


def _truth(pack: Pack) -> np.ndarray:
    parts = [pack.labels[name] for name in ("train_labels", "test_labels") if name in pack.labels]
    labels = np.concatenate(parts) if parts else pack.labels[TRUTH.get(pack.name, "labels")]
    return labels.astype(np.int64)


def measure(X: np.ndarray, y: np.ndarray, share: float, precision: float) -> dict[str, Any]:
    """Propagate from a random part, and let the others ask for as many labels."""
    order = np.random.default_rng(0).permutation(len(y))
    start = max(200, round(share * len(y)))
    L, P = order[:start], order[start:]
    n_classes = int(y.max()) + 1
    ours = propagate(X[L], y[L], n_classes, X[P], _keys(L), precision=precision)
    kept = ~ours.ask
    budget = int(ours.ask.sum())
    final = np.where(ours.ask, y[P], ours.labels)
    return {
        "labelled": start,
        "pool": len(P),
        "asked": budget / len(P),
        "propagated_right": float((ours.labels[kept] == y[P][kept]).mean()) if kept.any() else None,
        "final": float((final == y[P]).mean()),
        **{name: _select(X, y, L, P, n_classes, budget, name) for name in ("random", "margin")},
    }


def _select(
    X: np.ndarray, y: np.ndarray, L: np.ndarray, P: np.ndarray, n_classes: int, budget: int, strategy: str
) -> float:
    """Return the share of right labels of the pool where a strategy has asked for ``budget`` of them."""
    rng, known, left = np.random.default_rng(0), L, P
    for batch in np.array_split(np.arange(budget), 1 if strategy == "random" else BATCHES):
        if not len(batch):
            continue
        probs = _learn(X, y, known, n_classes).head.predict_proba(X[left])
        pool = Pool(X[left], probs, X[known], y[known])
        chosen, _ = find_strategy(strategy)(pool, len(batch), rng)
        known = np.concatenate([known, left[chosen]])
        left = np.delete(left, chosen)
    right = len(P) - len(left)
    if len(left):
        predicted = _learn(X, y, known, n_classes).head.predict_proba(X[left]).argmax(axis=1)
        right += int((predicted == y[left]).sum())
    return right / len(P)


def _learn(X: np.ndarray, y: np.ndarray, rows: np.ndarray, n_classes: int) -> Any:
    return choices.fit(X[rows], y[rows], n_classes, _keys(rows))


def _keys(rows: np.ndarray) -> list[str]:
    return [f"{row:032x}" for row in rows.tolist()]


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    return [
        at_least(
            f"{one['set']}, {one['start']:.0%} labelled, precision {one['precision']}: right of those propagated",
            one["propagated_right"],
            one["precision"] - 0.02,
            "{:.3f}",
        )
        for one in figures["runs"]
        if one["propagated_right"] is not None
    ]


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    rows = [
        (
            one["set"],
            f"{one['labelled']:,}",
            f"{one['precision']}",
            f"{100 * one['asked']:.1f}",
            "" if one["propagated_right"] is None else f"{100 * one['propagated_right']:.1f}",
            *(f"{100 * one[name]:.2f}" for name in ("final", "random", "margin")),
        )
        for one in figures["runs"]
    ]
    columns = (
        "images",
        "labelled at first",
        "wanted precision",
        "% for people",
        "% right of propagated",
        "% right in the end",
        "random, as many",
        "margin, as many",
    )
    return {
        "targets": target_sheet("propagation", targets(figures)),
        "sets": Sheet("Labels of a pool, people asked for a part", columns, rows),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw the share of right labels by the share people label."""
    names = list(dict.fromkeys(one["set"] for one in figures["runs"]))
    with drawing(path, len(names)) as axes:
        for axis, name in zip(axes, names, strict=True):
            runs = sorted(
                (one for one in figures["runs"] if one["set"] == name), key=lambda one: one["asked"]
            )
            for key in ("final", "random", "margin"):
                axis.plot(
                    [100 * one["asked"] for one in runs],
                    [100 * one[key] for one in runs],
                    marker="o",
                    linestyle="",
                    label="propagated" if key == "final" else key,
                )
            axis.set(title=name, xlabel="% labelled by people", ylabel="% right")
