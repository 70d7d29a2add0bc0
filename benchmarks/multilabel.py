"""How well wrong class sets are found where an image may have several classes.

``python -m benchmarks multilabel``; needs no data. scikit-learn's digits are called *even*, *above four* and *round*,
and each answer is planted wrong at random; the usual recipe (scikit-learn's LogisticRegression a class on five folds,
cleanlab's multi-label self-confidence) and Lineup in one process.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.multilabel_classification import get_label_quality_scores
from rich.progress import track
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from benchmarks.metrics import calibration_error
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, target_sheet
from benchmarks.scoring import timed
from ml.heads.sets import fit_sets
from ml.suspicion import MultiJudgement, make_judge

# number of sets, and how probably each of the three answers of a set is wrong
CASES = ((200, 0.05), (200, 0.12), (600, 0.04), (1797, 0.04))
MEASURES = ("usual", "ours", "calibration_error", "precision", "recall", "usual_seconds", "seconds", "wrong")


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--draws", type=int, default=5, help="draws of images and of errors")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every case over several draws."""
    cases = []
    for n, rate in CASES:
        draws = [
            measure(n, rate, seed)
            for seed in track(range(options.draws), f"{n:,} sets", console=console, transient=True)
        ]
        cases.append(
            {
                "sets": n,
                "rate": rate,
                **{name: float(np.mean([draw[name] for draw in draws])) for name in MEASURES},
            }
        )
    return {"draws": options.draws, "cases": cases}


def measure(n: int, rate: float, seed: int) -> dict[str, float]:
    """Plant errors into ``n`` class sets and look for them in both ways."""
    X, digit = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(digit))[:n]
    X, digit = (X[rows] / 16).astype(np.float32), digit[rows]
    truth = np.stack([digit % 2 == 0, digit > 4, np.isin(digit, [0, 6, 8, 9])], axis=1)
    given = truth ^ (rng.random(truth.shape) < rate)
    wrong = (given != truth).any(axis=1)
    usual_seconds, quality = timed(lambda: usual(X, given))
    seconds, judged = timed(lambda: ours(X, given))
    return {
        "wrong": float(wrong.mean()),
        "usual": float(average_precision_score(wrong, -quality)),
        "ours": float(average_precision_score(wrong, judged.suspicion)),
        "calibration_error": calibration_error(judged.suspicion, wrong),
        "precision": float(wrong[judged.suspect].mean()) if judged.suspect.any() else 0.0,
        "recall": float(judged.suspect[wrong].mean()),
        "usual_seconds": usual_seconds,
        "seconds": seconds,
    }


def usual(X: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Label qualities as the tutorials get them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        columns = [
            cross_val_predict(LogisticRegression(), X, answer, cv=5, method="predict_proba")[:, 1]
            for answer in given.T
        ]
    sets = [np.flatnonzero(row).tolist() for row in given]
    return np.asarray(get_label_quality_scores(sets, np.stack(columns, axis=1), method="self_confidence"))


def ours(X: np.ndarray, given: np.ndarray) -> MultiJudgement:
    """All that happens between vectors and suspicion."""
    fit = fit_sets(X, given, [f"{row:032x}" for row in range(len(X))])
    judged: MultiJudgement = make_judge("multilabel")(given, fit.oos_probs, **fit.evidence())
    return judged


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables by name."""
    return {
        "targets": target_sheet("multilabel", targets(figures)),
        "cases": Sheet(
            f"Planted wrong class sets, mean of {figures['draws']} draws",
            (
                "sets",
                "wrong",
                "usual recipe: average precision",
                "Lineup",
                "calibration error",
                "precision of suspects",
                "recall",
                "seconds, usual",
                "Lineup",
            ),
            [
                (
                    f"{case['sets']:,}",
                    f"{case['wrong']:.1%}",
                    f"{case['usual']:.3f}",
                    f"{case['ours']:.3f}",
                    f"{case['calibration_error']:.3f}",
                    f"{case['precision']:.2f}",
                    f"{case['recall']:.2f}",
                    f"{case['usual_seconds']:.2f}",
                    f"{case['seconds']:.2f}",
                )
                for case in figures["cases"]
            ],
        ),
    }


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at: to beat the usual recipe, and honest probabilities."""
    found = []
    for case in figures["cases"]:
        name = f"{case['sets']:,} sets, {case['wrong']:.0%} wrong"
        found.append(
            at_least(f"{name}: average precision, that of the usual recipe", case["ours"], case["usual"])
        )
        found.append(at_most(f"{name}: calibration error", case["calibration_error"], 0.05))
    return found


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw average precision in both ways, case by case."""
    with drawing(path, size=(7, 3)) as (axes,):
        place = np.arange(len(figures["cases"]))
        for shift, (key, name) in enumerate((("usual", "usual recipe"), ("ours", "Lineup"))):
            axes.bar(place + 0.38 * shift - 0.19, [case[key] for case in figures["cases"]], 0.36, label=name)
        labels = [f"{case['sets']:,} sets\n{case['wrong']:.0%} wrong" for case in figures["cases"]]
        axes.set_xticks(place, labels)
        axes.set_ylim(0, 1.2)
        axes.set_ylabel("average precision")
