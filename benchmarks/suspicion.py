"""How well wrong labels are found, how honest the probabilities are, and what it costs.

``python -m benchmarks suspicion --data DIR --weights FILE``. Human label noise (CIFAR-10N) at four levels, judged
against clean labels; the usual recipe (scikit-learn's LogisticRegression on five folds, cleanlab's self-confidence)
and Lineup in one process, so that ratios hold on a busy machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

from benchmarks.data import load_pack, load_vectors
from benchmarks.metrics import best_f1, calibration_error, f1, precision_at, reliability
from benchmarks.report import Sheet, Target, at_least, at_most, console, drawing, target_sheet
from benchmarks.scoring import measure_size, ours, timed, usual
from ml.folds import stable_folds
from ml.heads.ensemble import Ensemble
from ml.heads.logistic import fit_logistic
from ml.suspicion import Judgement, make_judge
from ml.suspicion.filters import FILTERS, find_issues
from ml.suspicion.scores import SCORES

NOISE = {
    "aggregate": "aggre_label",
    "random 1": "random_label1",
    "random 2": "random_label2",
    "worst": "worse_label",
}
AVERAGE_PRECISION = {"aggregate": 0.56, "worst": 0.88}
SIZES = {
    "10": (50_000, 512, 10),
    "100": (50_000, 512, 100),
    "1000": (20_000, 512, 1000),
}
MEMORY = 4.0  # GiB that many classes may take
WANTED = (0.3, 0.5, 0.7, 0.9)
REVIEWED = (50, 200, 1000)
RECALLS = np.linspace(0.02, 1.0, 50)


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--noise", nargs="+", choices=list(NOISE), default=list(NOISE))
    parser.add_argument(
        "--sizes", nargs="*", choices=list(SIZES), default=list(SIZES), help="numbers of classes, made up"
    )
    parser.add_argument(
        "--no-usual", action="store_true", help="leave out the usual recipe, which takes longest"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure.

    Raises
    ------
    Missing
        If data or weights are not there.
    """
    pack = load_pack("cifar10n_20k", options.data)
    X = load_vectors(pack, options.weights, options.cache)[: options.rows]
    clean = pack.labels["clean_label"].astype(np.int64)[: options.rows]
    noise = {}
    for name in options.noise:
        y = pack.labels[NOISE[name]].astype(np.int64)[: options.rows]
        noise[name] = measure_noise(name, X, y, clean, not options.no_usual)
    return {
        "rows": len(X),
        "noise": noise,
        "sizes": {name: measure_size(*SIZES[name]) for name in options.sizes},
    }


def measure_noise(
    name: str, X: np.ndarray, y: np.ndarray, clean: np.ndarray, baseline: bool
) -> dict[str, Any]:
    """Measure one level of noise."""
    keys = [f"{row:032x}" for row in range(len(y))]
    n_classes = int(clean.max()) + 1
    wrong = y != clean
    found: dict[str, Any] = {"wrong": float(wrong.mean())}
    if baseline:
        with console.status(f"{name}: the usual recipe"):
            seconds, (probs, quality) = timed(lambda: usual(X, y))
        found["usual"] = {
            "seconds": seconds,
            **_quality(wrong, 1 - quality, find_issues(y, probs)),
            "curve": precision_at(wrong, -quality, RECALLS),
        }
    with console.status(f"{name}: Lineup"):
        seconds, (fit, judged) = timed(lambda: ours(X, y, n_classes, keys))
        found["lineup"] = {
            "seconds": seconds,
            **_quality(wrong, judged.suspicion, judged.suspect),
            "threshold": judged.threshold,
            "expected_wrong": judged.expected_wrong,
            "weights": fit.weights,
            "log_loss": fit.log_loss,
            "suggestion_right": float(
                (judged.suggestion[wrong & judged.suspect] == clean[wrong & judged.suspect]).mean()
            ),
            "curve": precision_at(wrong, judged.suspicion, RECALLS),
            "reliability": reliability(judged.suspicion, wrong),
        }
        found["warm"] = _warm(X, y, n_classes, keys)
        found["scores"] = _scores(y, fit, wrong)
        found["filters"] = {method: f1(wrong, find_issues(y, fit.oos_probs, method)) for method in FILTERS}
        found["wanted"] = _wanted(y, fit, wrong)
        found["reviewed"] = _reviewed(y, clean, fit, judged, wrong)
        seconds, plain = timed(lambda: fit_logistic(X, y, n_classes, stable_folds(keys, 5)))
        quality = get_label_quality_scores(y, plain.oos_probs, method="self_confidence")
        found["logistic alone"] = {"seconds": seconds, "ap": float(average_precision_score(wrong, -quality))}
    return found


def _quality(wrong: np.ndarray, suspicion: np.ndarray, suspect: np.ndarray) -> dict[str, float]:
    """Judge an order, the probabilities it is by, and a choice."""
    return {
        "ap": float(average_precision_score(wrong, suspicion)),
        "best_f1": best_f1(wrong, suspicion),
        "f1": f1(wrong, suspect),
        "ece": calibration_error(suspicion, wrong),
    }


def _warm(X: np.ndarray, y: np.ndarray, n_classes: int, keys: list[str]) -> dict[str, float]:
    """Seconds of another go after one label was added, and after one was changed."""
    before, _ = ours(X[:-1], y[:-1], n_classes, keys[:-1])
    added, (after, _) = timed(lambda: ours(X, y, n_classes, keys, warm=before))
    other = y.copy()
    other[0] = (other[0] + 1) % n_classes
    changed, _ = timed(lambda: ours(X, other, n_classes, keys, warm=after))
    return {"added": added, "changed": changed}


def _scores(y: np.ndarray, fit: Ensemble, wrong: np.ndarray) -> dict[str, dict[str, float]]:
    """Every score on the same probabilities."""
    judged = {method: make_judge("choices")(y, fit.oos_probs, method=method) for method in SCORES}
    return {method: _quality(wrong, one.suspicion, one.suspect) for method, one in judged.items()}


def _wanted(y: np.ndarray, fit: Ensemble, wrong: np.ndarray) -> dict[str, dict[str, float]]:
    """What a wanted precision gives."""
    found = {}
    for precision in WANTED:
        suspect = make_judge("choices")(y, fit.oos_probs, precision=precision).suspect
        found[str(precision)] = {
            "shown": int(suspect.sum()),
            "precision": float(wrong[suspect].mean()) if suspect.any() else float("nan"),
            "recall": float(wrong[suspect].sum() / wrong.sum()),
        }
    return found


def _reviewed(
    y: np.ndarray, clean: np.ndarray, fit: Ensemble, judged: Judgement, wrong: np.ndarray
) -> dict[str, dict[str, float]]:
    """Calibration on what is left after the most suspicious labels were reviewed, with and without learning from it."""
    found = {}
    for count in REVIEWED:
        reviewed = np.zeros(len(y), dtype=bool)
        reviewed[np.argsort(-judged.suspicion, kind="stable")[:count]] = True
        labels = np.where(reviewed, clean, y)
        again = make_judge("choices")(labels, fit.oos_probs, reviewed=reviewed, before=y)
        without = make_judge("choices")(labels, fit.oos_probs)
        left = ~reviewed
        found[str(count)] = {
            "ece": calibration_error(again.suspicion[left], wrong[left]),
            "ece_without": calibration_error(without.suspicion[left], wrong[left]),
        }
    return found


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at; of all noise levels the worst figure counts."""
    levels, sizes = figures["noise"], figures["sizes"]
    found = [
        at_least(f"average precision, {name}", levels[name]["lineup"]["ap"], bound)
        for name, bound in AVERAGE_PRECISION.items()
        if name in levels
    ]
    share = min(level["lineup"]["f1"] / level["lineup"]["best_f1"] for level in levels.values())
    found.append(at_least("F1 at its own threshold, of the best possible, least", share, 0.95))
    error = max(level["lineup"]["ece"] for level in levels.values())
    found.append(at_most("expected calibration error, largest", error, 0.05))
    with_usual = [level for level in levels.values() if "usual" in level]
    if with_usual:
        ratio = min(level["usual"]["seconds"] / level["lineup"]["seconds"] for level in with_usual)
        found.append(at_least("times faster than the usual recipe, least", ratio, 10, "{:.0f}"))
        ratio = min(level["usual"]["seconds"] / max(level["warm"].values()) for level in with_usual)
        found.append(
            at_least("times faster after one label was added or changed, least", ratio, 50, "{:.0f}")
        )
    for size in sizes.values():
        what = f"{size['rows']:,} x {size['dim']}, {size['classes']:,} classes"
        if size["classes"] == 10:
            found.append(at_most(f"{what}: seconds", size["seconds"], 10.0, "{:.1f}"))
        else:
            found.append(at_most(f"{what}: GiB at most held", size["peak_gib"], MEMORY, "{:.1f}"))
    return found


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    levels = figures["noise"]
    found = {
        "targets": target_sheet("suspicion", targets(figures)),
        "noise": Sheet(
            f"Wrong labels of {figures['rows']:,} images, against clean ones",
            (
                "labels",
                "",
                "average precision",
                "best F1",
                "F1 chosen",
                "calibration error",
                "seconds",
                "faster",
            ),
            [row for name, level in levels.items() for row in _level_rows(name, level)],
        ),
        "scores": Sheet(
            "Scores on the same out-of-sample probabilities: average precision / F1 chosen / calibration error",
            ("score", *levels),
            [
                (f"`{method}`", *(_scored(level["scores"][method]) for level in levels.values()))
                for method in SCORES
            ],
        ),
        "filters": Sheet(
            "Choices on the same out-of-sample probabilities: F1",
            ("chosen by", *levels),
            [("Lineup's threshold", *(f"{level['lineup']['f1']:.3f}" for level in levels.values()))]
            + [
                (f"`{method}`", *(f"{level['filters'][method]:.3f}" for level in levels.values()))
                for method in FILTERS
            ],
        ),
        "wanted": Sheet(
            "Wanted precision: what came of it (recall)",
            ("wanted", *levels),
            [
                (f"{wanted:.0%}", *(_came(level["wanted"][str(wanted)]) for level in levels.values()))
                for wanted in WANTED
            ],
        ),
        "reviewed": Sheet(
            "Calibration error on what is left when the most suspicious were reviewed, learning from it (or not)",
            ("reviewed", *levels),
            [
                (f"{count:,}", *(_honest(level["reviewed"][str(count)]) for level in levels.values()))
                for count in REVIEWED
            ],
        ),
    }
    if figures["sizes"]:
        found["sizes"] = Sheet(
            "Vectors to suspicion, from nothing",
            ("rows x dimensions", "classes", "seconds", "peak GiB", "of these before", "accuracy"),
            [
                (
                    f"{row['rows']:,} x {row['dim']}",
                    f"{row['classes']:,}",
                    f"{row['seconds']:.1f}",
                    f"{row['peak_gib']:.2f}",
                    f"{row['peak_before_gib']:.2f}",
                    f"{row['accuracy']:.3f}",
                )
                for row in figures["sizes"].values()
            ],
        )
    return found


def _level_rows(name: str, level: dict[str, Any]) -> list[tuple[str, ...]]:
    title = f"{name}, {level['wrong']:.1%} wrong"

    def timing(seconds: float) -> tuple[str, str]:
        times = f"{level['usual']['seconds'] / seconds:.0f} x" if "usual" in level else ""
        return f"{seconds:.2f}", times

    rows = []
    for kind, shown in (("usual", "usual recipe"), ("lineup", "Lineup")):
        if kind in level:
            one = level[kind]
            cells = (f"{one[key]:.3f}" for key in ("ap", "best_f1", "f1", "ece"))
            rows.append((title, shown, *cells, *timing(one["seconds"])))
            title = ""
    for what, seconds in level["warm"].items():
        rows.append(("", f"one label {what}", "", "", "", "", *timing(seconds)))
    return rows


def _scored(score: dict[str, float]) -> str:
    return f"{score['ap']:.3f} / {score['f1']:.3f} / {score['ece']:.3f}"


def _honest(found: dict[str, float]) -> str:
    return f"{found['ece']:.3f} ({found['ece_without']:.3f})"


def _came(found: dict[str, float]) -> str:
    return f"{found['precision']:.0%} ({found['recall']:.0%})" if found["shown"] else "none"


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw precision against recall beside the usual recipe's, and the reliability of the probabilities."""
    with drawing(path, 2) as (curve, reliable):
        for number, (name, level) in enumerate(figures["noise"].items()):
            curve.plot(RECALLS, level["lineup"]["curve"], color=f"C{number}", label=name)
            if "usual" in level:
                curve.plot(RECALLS, level["usual"]["curve"], color=f"C{number}", linestyle=":", linewidth=1)
            told = level["lineup"]["reliability"]
            reliable.plot(told["suspicion"], told["wrong"], color=f"C{number}", marker="o", markersize=3)
        reliable.plot([0, 1], [0, 1], color="grey", linewidth=0.7)
        curve.set(xlabel="recall", ylabel="precision", title="wrong labels found (dotted: the usual recipe)")
        reliable.set(
            xlabel="suspicion", ylabel="share of wrong labels", title="are the probabilities honest?"
        )
