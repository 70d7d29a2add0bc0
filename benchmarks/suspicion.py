"""How well wrong labels are found, how honest the probabilities are, and what it costs.

Run with ``python -m benchmarks.suspicion --data DIR --weights FILE``. Human label noise (CIFAR-10N) at four levels,
judged against clean labels; the usual recipe (scikit-learn's LogisticRegression on five folds, cleanlab's
self-confidence) and Lineup in one process, so that ratios hold on a busy machine. Prints tables and writes
``benchmarks/results/suspicion.json`` and ``suspicion.png``.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import cross_val_predict

from benchmarks.data import Missing, add_arguments, load_pack, load_vectors
from ml.folds import stable_folds
from ml.heads.ensemble import Ensemble, fit_ensemble
from ml.heads.logistic import fit_logistic
from ml.suspicion import Judgement, make_judge
from ml.suspicion.filters import FILTERS, find_issues
from ml.suspicion.scores import SCORES

RESULTS = Path(__file__).parent / "results"
NOISE = {
    "aggregate": "aggre_label",
    "random 1": "random_label1",
    "random 2": "random_label2",
    "worst": "worse_label",
}
TARGETS = {"aggregate": 0.56, "worst": 0.88}
SIZES = ((50_000, 512, 10), (50_000, 512, 100), (20_000, 512, 1000))
WANTED = (0.3, 0.5, 0.7, 0.9)
BINS = 15

console = Console()


def calibration_error(probs: np.ndarray, wrong: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error over bins of equal width (Guo et al., arXiv 1706.04599)."""
    place = np.minimum((probs * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        rows = place == number
        if rows.any():
            total += rows.mean() * abs(float(probs[rows].mean() - wrong[rows].mean()))
    return total


def best_f1(wrong: np.ndarray, scores: np.ndarray) -> float:
    """Return the highest F1 of any threshold."""
    precision, recall, _ = precision_recall_curve(wrong, scores)
    return float((2 * precision * recall / np.maximum(precision + recall, 1e-12)).max())


def f1(wrong: np.ndarray, found: np.ndarray) -> float:
    """Return the F1 of a yes or no."""
    return float(2 * (found & wrong).sum() / max(found.sum() + wrong.sum(), 1))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result."""
    gc.collect()
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def usual(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Out-of-sample probabilities and quality scores as the tutorials get them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of its 100 iterations, which nobody changes
        probs = cross_val_predict(LogisticRegression(), X, y, cv=5, method="predict_proba")
    return probs, get_label_quality_scores(y, probs, method="self_confidence")


def ours(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    keys: list[str],
    warm: Ensemble | None = None,
    **options: Any,
) -> tuple[Ensemble, Judgement]:
    """All that happens between vectors and suspicion."""
    fit = fit_ensemble(X, y, n_classes, keys, warm=warm)
    judged = make_judge("choices")(
        y,
        fit.oos_probs,
        keys=keys,
        folds=fit.folds,
        groups=fit.space.groups if fit.space else None,
        neighbour_label=fit.neighbour_label,
        neighbour_support=fit.neighbour_support,
        **options,
    )
    return fit, judged


def measure_noise(
    name: str, X: np.ndarray, y: np.ndarray, clean: np.ndarray, baseline: bool
) -> tuple[dict[str, Any], Judgement]:
    """Measure one level of noise."""
    keys = [f"{row:032x}" for row in range(len(y))]
    n_classes = int(clean.max()) + 1
    wrong = y != clean
    found: dict[str, Any] = {"wrong": float(wrong.mean())}
    with console.status(f"{name}: the usual recipe"):
        if baseline:
            seconds, (probs, quality) = timed(lambda: usual(X, y))
            found["usual"] = {
                "seconds": seconds,
                "ap": float(average_precision_score(wrong, -quality)),
                "best_f1": best_f1(wrong, -quality),
                "ece": calibration_error(1 - quality, wrong),
                "filter_f1": f1(wrong, find_issues(y, probs)),
            }
    with console.status(f"{name}: Lineup"):
        seconds, (fit, judged) = timed(lambda: ours(X, y, n_classes, keys))
        suspicion = judged.suspicion
        found["lineup"] = {
            "seconds": seconds,
            "ap": float(average_precision_score(wrong, suspicion)),
            "best_f1": best_f1(wrong, suspicion),
            "f1": f1(wrong, judged.suspect),
            "threshold": judged.threshold,
            "ece": calibration_error(suspicion, wrong),
            "expected_wrong": judged.expected_wrong,
            "weights": fit.weights,
            "log_loss": fit.log_loss,
            "suggestion_right": float(
                (judged.suggestion[wrong & judged.suspect] == clean[wrong & judged.suspect]).mean()
            ),
        }
        found["lineup"]["share_of_best_f1"] = found["lineup"]["f1"] / found["lineup"]["best_f1"]
        found["warm"] = _warm(X, y, n_classes, keys)
        found["scores"] = _scores(y, fit, wrong)
        found["filters"] = {method: f1(wrong, find_issues(y, fit.oos_probs, method)) for method in FILTERS}
        found["wanted"] = _wanted(y, fit, wrong)
        found["reviewed"] = _reviewed(y, clean, fit, judged, wrong)
        folds = stable_folds(keys, 5)
        seconds, plain = timed(lambda: fit_logistic(X, y, n_classes, folds))
        quality = get_label_quality_scores(y, plain.oos_probs, method="self_confidence")
        found["logistic alone"] = {"seconds": seconds, "ap": float(average_precision_score(wrong, -quality))}
    return found, judged


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
    found = {}
    for method in SCORES:
        judged = make_judge("choices")(y, fit.oos_probs, method=method)
        found[method] = {
            "ap": float(average_precision_score(wrong, judged.suspicion)),
            "best_f1": best_f1(wrong, judged.suspicion),
            "f1": f1(wrong, judged.suspect),
            "ece": calibration_error(judged.suspicion, wrong),
        }
    return found


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
    for count in (50, 200, 1000):
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


def measure_sizes() -> dict[str, dict[str, float]]:
    """Time and memory on made-up vectors of many rows and many classes."""
    found = {}
    rng = np.random.default_rng(0)
    for n, d, n_classes in SIZES:
        centres = rng.normal(size=(n_classes, d)).astype(np.float32)
        y = rng.integers(0, n_classes, n)
        X = centres[y] * 0.35 + rng.normal(size=(n, d)).astype(np.float32)
        keys = [f"{row:032x}" for row in range(n)]
        with console.status(f"{n:,} rows, {n_classes} classes"):
            seconds, (fit, _) = timed(lambda X=X, y=y, k=n_classes, keys=keys: ours(X, y, k, keys))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        found[f"{n:,} x {d}, {n_classes} classes"] = {
            "seconds": seconds,
            "peak_gib": peak,
            "accuracy": float((fit.oos_probs.argmax(axis=1) == y).mean()),
        }
    return found


def show(found: dict[str, dict[str, Any]]) -> None:
    """Print the tables."""
    table = Table(title="Finding wrong labels, against clean ones")
    for column in ("noise", "", "AP", "best F1", "F1 chosen", "of best", "ECE", "seconds", "of usual"):
        table.add_column(column, justify="left" if column in ("noise", "") else "right")
    for name, level in found.items():
        usual_one, mine, warm = level.get("usual"), level["lineup"], level["warm"]
        base = usual_one["seconds"] if usual_one else float("nan")
        if usual_one:
            cells = (f"{usual_one['ap']:.3f}", f"{usual_one['best_f1']:.3f}", f"{usual_one['filter_f1']:.3f}")
            table.add_row(
                f"{name} {level['wrong']:.1%}",
                "usual",
                *cells,
                "",
                f"{usual_one['ece']:.3f}",
                f"{base:.1f}",
                "1",
            )
        target = f" (≥ {TARGETS[name]})" if name in TARGETS else ""
        table.add_row(
            "" if usual_one else f"{name} {level['wrong']:.1%}",
            "Lineup",
            f"{mine['ap']:.3f}{target}",
            f"{mine['best_f1']:.3f}",
            f"{mine['f1']:.3f}",
            f"{mine['share_of_best_f1']:.3f}",
            f"{mine['ece']:.3f}",
            f"{mine['seconds']:.2f}",
            f"1/{base / mine['seconds']:.1f}",
        )
        for what in ("added", "changed"):
            table.add_row(
                "", f"one label {what}", "", "", "", "", "", f"{warm[what]:.2f}", f"1/{base / warm[what]:.0f}"
            )
    console.print(table)
    scores = Table(title="Scores on the same probabilities: AP (ECE)")
    scores.add_column("score")
    for name in found:
        scores.add_column(name, justify="right")
    for method in SCORES:
        scores.add_row(
            method,
            *(
                f"{lv['scores'][method]['ap']:.3f} ({lv['scores'][method]['ece']:.3f})"
                for lv in found.values()
            ),
        )
    for method in FILTERS:
        scores.add_row(f"filter {method}: F1", *(f"{lv['filters'][method]:.3f}" for lv in found.values()))
    console.print(scores)


def plot(judged: dict[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Draw precision against recall and the reliability of the probabilities."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (curve, reliable) = plt.subplots(1, 2, figsize=(11, 4.5))
    for name, (suspicion, wrong) in judged.items():
        precision, recall, _ = precision_recall_curve(wrong, suspicion)
        curve.plot(recall, precision, label=name)
        place = np.minimum((suspicion * 10).astype(int), 9)
        bins = [number for number in range(10) if (place == number).sum() >= 20]
        reliable.plot(
            [suspicion[place == number].mean() for number in bins],
            [wrong[place == number].mean() for number in bins],
            marker="o",
            label=name,
        )
    reliable.plot([0, 1], [0, 1], color="grey", linewidth=1)
    curve.set(xlabel="recall", ylabel="precision", title="wrong labels found")
    reliable.set(xlabel="suspicion", ylabel="share wrong", title="reliability")
    curve.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--noise", nargs="+", choices=list(NOISE), default=list(NOISE))
    parser.add_argument("--no-sizes", action="store_true", help="leave out the runs on made-up vectors")
    parser.add_argument(
        "--no-usual", action="store_true", help="leave out the usual recipe, which takes longest"
    )
    options = parser.parse_args()
    try:
        pack = load_pack("cifar10n_20k", options.data)
        X = load_vectors(pack, options.weights, options.cache, console)
    except Missing as missing:
        console.print(f"[red]{missing}")
        return 2
    clean = pack.labels["clean_label"].astype(np.int64)
    found: dict[str, dict[str, Any]] = {}
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in options.noise:
        y = pack.labels[NOISE[name]].astype(np.int64)
        found[name], judged = measure_noise(name, X, y, clean, not options.no_usual)
        curves[name] = (judged.suspicion, y != clean)
    show(found)
    result: dict[str, Any] = {"machine": f"{platform.machine()}, {platform.python_version()}", "noise": found}
    if not options.no_sizes:
        result["sizes"] = measure_sizes()
        table = Table("size", "seconds", "peak GiB", "accuracy", title="Vectors to suspicion, from nothing")
        for size, row in result["sizes"].items():
            table.add_row(size, f"{row['seconds']:.1f}", f"{row['peak_gib']:.1f}", f"{row['accuracy']:.3f}")
        console.print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "suspicion.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(curves, RESULTS / "suspicion.png")
    console.print(f"written: {RESULTS / 'suspicion.json'}, suspicion.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
