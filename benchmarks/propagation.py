"""What propagating labels is worth: how many images people label, and how right all labels are then.

``python -m benchmarks propagation --data DIR --weights FILE``. From a few labelled images the pool gets labels or goes
to people, who answer rightly, all at once or in five rounds; random and margin selection send as many images to
people in as many rounds, and the loop's classifier labels the rest, in the same run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Pack, load_vectors, open_packs
from benchmarks.report import Sheet, Target, at_least, console, drawing, target_sheet
from ml.acquisition import Pool, find_strategy
from ml.learners import choices
from ml.propagation import label_rest, propagate

SETS = ("fashion_mnist_14k", "flowers5_128", "cifar10n_20k")
TRUTH = {"cifar10n_20k": "clean_label"}
START = (0.02, 0.1)  # of the images that are labelled at first, 200 at least
PRECISIONS = (0.9,)
ROUNDS = (1, 5)  # in which people are asked: each learns from the answers to the last


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
    begun = propagate(X[L], y[L], n_classes, X[P], _keys(L), precision=precision)
    kept, budget = begun.propagated, int(begun.ask.sum())
    found: dict[str, Any] = {
        "labelled": start,
        "pool": len(P),
        "asked": budget / len(P),
        "propagated_right": float((begun.labels[kept] == y[P][kept]).mean()) if kept.any() else None,
    }
    for rounds in ROUNDS:
        ours, asked = _propagate(X, y, L, P, n_classes, precision, budget, rounds)
        found[str(rounds)] = {
            "asked": sum(asked) / len(P),
            "propagation": ours,
            **{name: _select(X, y, L, P, n_classes, asked, name) for name in ("random", "margin")},
        }
    return found


def _propagate(
    X: np.ndarray,
    y: np.ndarray,
    L: np.ndarray,
    P: np.ndarray,
    n_classes: int,
    precision: float,
    budget: int,
    rounds: int,
) -> tuple[float, list[int]]:
    """Return the share of right labels of the pool in the end, and how many people were asked for in each round."""
    known, left, asked = L, P, []
    for part in np.array_split(np.arange(budget), rounds):
        found = propagate(
            X[known],
            y[known],
            n_classes,
            X[left],
            _keys(known),
            precision=precision,
            budget=max(1, len(part)),
        )
        known, left = np.concatenate([known, left[found.ask]]), left[~found.ask]
        asked.append(int(found.ask.sum()))
    right = len(P) - len(left)
    if len(left):
        labels, _ = label_rest(X[known], y[known], n_classes, X[left], _keys(known))
        right += int((labels == y[left]).sum())
    return right / len(P), asked


def _select(
    X: np.ndarray,
    y: np.ndarray,
    L: np.ndarray,
    P: np.ndarray,
    n_classes: int,
    asked: Sequence[int],
    strategy: str,
) -> float:
    """Return the share of right labels of the pool where a strategy has asked for as many of them in each round."""
    rng, known, left = np.random.default_rng(0), L, P
    for count in filter(None, asked):
        probs = _learn(X, y, known, n_classes).head.predict_proba(X[left])
        pool = Pool(X[left], probs, X[known], y[known])
        chosen, _ = find_strategy(strategy)(pool, count, rng)
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
    wanted = []
    for one in figures["runs"]:
        name = f"{one['set']}, {one['labelled']:,} labelled, precision {one['precision']}"
        if one["propagated_right"] is not None:
            wanted.append(
                at_least(
                    f"{name}: right of those propagated",
                    one["propagated_right"],
                    one["precision"] - 0.02,
                    "{:.3f}",
                )
            )
        for rounds in map(str, ROUNDS):
            found = one[rounds]
            gain = 100 * (found["propagation"] - found["margin"])
            wanted.append(at_least(f"{name}: gain on margin, rounds: {rounds}", gain, 0.0, "{:+.2f} points"))
    return wanted


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    rows = [
        (
            one["set"],
            f"{one['labelled']:,}",
            f"{one['precision']}",
            "" if one["propagated_right"] is None else f"{100 * one['propagated_right']:.1f}",
            rounds,
            f"{100 * one[rounds]['asked']:.1f}",
            *(f"{100 * one[rounds][name]:.2f}" for name in ("propagation", "random", "margin")),
        )
        for one in figures["runs"]
        for rounds in map(str, ROUNDS)
    ]
    columns = (
        "images",
        "labelled at first",
        "wanted precision",
        "% right of propagated",
        "rounds",
        "% for people",
        "% right in the end",
        "random, as many",
        "margin, as many",
    )
    return {
        "targets": target_sheet("propagation", targets(figures)),
        "sets": Sheet("Labels of a pool, people asked for a part", columns, rows),
    }


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw the share of right labels by the share people label, in the most rounds."""
    names, rounds = list(dict.fromkeys(one["set"] for one in figures["runs"])), str(max(ROUNDS))
    with drawing(path, len(names)) as axes:
        for axis, name in zip(axes, names, strict=True):
            runs = [one[rounds] for one in figures["runs"] if one["set"] == name]
            runs.sort(key=lambda one: one["asked"])
            for key in ("propagation", "random", "margin"):
                axis.plot(
                    [100 * one["asked"] for one in runs],
                    [100 * one[key] for one in runs],
                    marker="o",
                    linestyle="",
                    label=key,
                )
            axis.set(title=name, xlabel="% labelled by people", ylabel="% right")
