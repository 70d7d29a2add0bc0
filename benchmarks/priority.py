"""Which images to label next: every query strategy on real images, against chance and against each other.

Run with ``python -m benchmarks.priority --data DIR --weights FILE``. Replays labelled sets as if they were being
labelled, 20 to 2,000 labels, several seeds, a logistic head on frozen vectors after every batch. Prints tables and
writes ``benchmarks/results/priority.json`` and a plot a set. Campaigns and vectors are kept under ``--cache``, so a
run that is interrupted goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.data import Missing, Pack, add_arguments, load_pack, load_vectors
from ml.acquisition import STRATEGIES
from ml.acquisition.campaign import Step, replay
from ml.acquisition.explore import order
from ml.heads.logistic import fit_logistic
from ml.stopping import collection_weights, estimate_accuracy, fit_learning_curve, measure_learning_curve

RESULTS = Path(__file__).parent / "results"
BUDGETS = (20, 35, 50, 75, 100, 150, 200, 300, 450, 700, 1000, 1400, 2000)
EXPLORATION = 0.1  # of auto, as Lineup uses it; the others are measured pure
PURE = "auto without exploration"
SHARE = 0.95  # of the accuracy with all labels
TEST = {"fashion_mnist_14k": 4000, "flowers5_128": 1000, "cifar10n_20k": 4000}
LABELS = {
    "fashion_mnist_14k": ("train_labels", "test_labels"),
    "flowers5_128": ("labels",),
    "cifar10n_20k": ("clean_label",),
}
STOP_BUDGETS = (100, 200, 300, 450, 700, 1000, 1400)
MORE = 100

console = Console(width=max(Console().width, 170))


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


def run_campaign(name: str, strategy: str, data: Split, seed: int, exploration: float) -> dict[str, Any]:
    """Replay one campaign; for auto, also what the stop signal said on the way."""
    signals: list[dict[str, float]] = []

    def watch(step: Step) -> None:
        if len(step.rows) not in STOP_BUDGETS:
            return
        estimate = estimate_accuracy(
            step.correct, step.uniform, confidence=step.confidence, pool_confidence=step.pool_confidence
        )
        X, y = data.X[step.rows], data.y[step.rows]
        weights = collection_weights(step.confidence, step.pool_confidence)
        sizes, measured = measure_learning_curve(X, y, np.random.default_rng(seed), weights=weights)
        if estimate is None or len(sizes) < 2:
            return
        signals.append(
            {
                "labels": len(step.rows),
                "true": step.accuracy,
                "estimate": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "explored": float(estimate.source == "exploration"),
                "gain": fit_learning_curve(sizes, measured).gain(len(step.rows), MORE),
            }
        )

    began = time.perf_counter()
    curve = replay(
        "auto" if strategy == PURE else strategy,
        data.X,
        data.y,
        data.test_X,
        data.test_y,
        budgets=BUDGETS,
        n_classes=data.n_classes,
        seed=seed,
        exploration=exploration if strategy == "auto" else 0.0,
        on_step=watch if strategy == "auto" else None,
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
    packs: Sequence[Pack], strategies: Sequence[str], seeds: int, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Run what is not kept yet; return all records of the sets, strategies and seeds asked for."""
    log = options.cache / f"campaigns-{options.axes}-{options.exploration}.jsonl"
    kept: dict[tuple[str, str, int], dict[str, Any]] = {}
    if log.exists():
        for line in log.read_text().splitlines():
            record = json.loads(line)
            kept[record["set"], record["strategy"], record["seed"]] = record
    named = {pack.name: pack for pack in packs}
    wanted = [(n, s, seed) for seed in range(seeds) for n in named for s in [*strategies, "all labels"]]
    reduced: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("campaigns", total=len(wanted))
        for name, strategy, seed in wanted:
            if (name, strategy, seed) not in kept:
                if name not in reduced:
                    X = load_vectors(named[name], options.weights, options.cache, console)
                    X = leading_axes(X, options.axes) if options.axes else X
                    reduced[name] = (X, classes_of(named[name]))
                data = split(*reduced[name], TEST[name], seed)
                if strategy == "all labels":
                    record = {
                        "set": name,
                        "strategy": strategy,
                        "seed": seed,
                        "area": full_accuracy(data, seed),
                    }
                else:
                    record = run_campaign(name, strategy, data, seed, options.exploration)
                kept[name, strategy, seed] = record
                with log.open("a") as file:
                    file.write(json.dumps(record) + "\n")
            progress.advance(task)
    return [kept[key] for key in wanted]


def curves_of(records: list[dict[str, Any]], name: str, strategy: str) -> np.ndarray:
    """Accuracies of a strategy on a set, shape (seeds, budgets)."""
    return np.array([r["accuracy"] for r in records if (r["set"], r["strategy"]) == (name, strategy)])


def areas(curves: np.ndarray) -> np.ndarray:
    """Area under each curve over the logarithm of the budget, as a mean accuracy, shape (seeds,)."""
    x = np.log(BUDGETS)
    return np.trapezoid(curves, x, axis=1) / (x[-1] - x[0])


def labels_to_reach(curve: np.ndarray, goal: float) -> float | None:
    """Labels at which a mean curve first reaches an accuracy, between budgets on a log scale."""
    above = np.flatnonzero(curve >= goal)
    if len(above) == 0:
        return None
    at = int(above[0])
    if at == 0:
        return float(BUDGETS[0])
    part = (goal - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(np.exp(np.log(BUDGETS[at - 1]) + part * np.log(BUDGETS[at] / BUDGETS[at - 1])))


def summarise(records: list[dict[str, Any]], name: str, strategies: Sequence[str]) -> dict[str, Any]:
    """Put the figures of a set together, and say which targets it meets."""
    full = float(np.mean([r["area"] for r in records if (r["set"], r["strategy"]) == (name, "all labels")]))
    rows = {}
    for strategy in strategies:
        curves = curves_of(records, name, strategy)
        of = areas(curves)
        rows[strategy] = {
            "area": float(of.mean()),
            "area_error": float(of.std(ddof=1) / np.sqrt(len(of))) if len(of) > 1 else 0.0,
            "area_linear": float((np.trapezoid(curves, BUDGETS, axis=1) / (BUDGETS[-1] - BUDGETS[0])).mean()),
            "curve": curves.mean(axis=0).tolist(),
            "labels_to_goal": labels_to_reach(curves.mean(axis=0), SHARE * full),
            "seconds": float(
                np.mean([r["seconds"] for r in records if (r["set"], r["strategy"]) == (name, strategy)])
            ),
        }
    found: dict[str, Any] = {"all_labels": full, "goal": SHARE * full, "strategies": rows}
    singles = [s for s in strategies if s not in ("auto", PURE)]
    if "auto" in rows and "random" in rows:
        best = max(singles, key=lambda s: rows[s]["area"])
        best_linear = max(singles, key=lambda s: rows[s]["area_linear"])
        gap = curves_of(records, name, "auto") - curves_of(records, name, "random")
        error = gap.std(axis=0, ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.zeros(len(BUDGETS))
        past = np.array(BUDGETS) > 50
        found |= {
            "best_single": best,
            "auto_minus_best": rows["auto"]["area"] - rows[best]["area"],
            "best_single_linear": best_linear,
            "auto_minus_best_linear": rows["auto"]["area_linear"] - rows[best_linear]["area_linear"],
            "auto_minus_random": gap.mean(axis=0).tolist(),
            "auto_minus_random_error": error.tolist(),
            "above_random": bool((gap.mean(axis=0)[past] > -2 * error[past]).all()),
        }
    return found


def print_set(name: str, found: dict[str, Any]) -> None:
    """Print the table of a set."""
    table = Table(title=f"{name}: accuracy with all labels {found['all_labels']:.3f}")
    for column in ("strategy", "area", "±", "linear", *(str(b) for b in BUDGETS), "95 %", "s"):
        table.add_column(column, justify="left" if column == "strategy" else "right")
    ranked = sorted(found["strategies"].items(), key=lambda item: -item[1]["area"])
    for strategy, row in ranked:
        reach = row["labels_to_goal"]
        table.add_row(
            strategy,
            f"{100 * row['area']:.2f}",
            f"{100 * row['area_error']:.2f}",
            f"{100 * row['area_linear']:.2f}",
            *(f"{100 * value:.1f}" for value in row["curve"]),
            f"> {BUDGETS[-1]}" if reach is None else f"{reach:.0f}",
            f"{row['seconds']:.1f}",
            style={"auto": "bold", "random": "dim"}.get(strategy, ""),
        )
    console.print(table)
    if "best_single" in found:
        met = "met" if found["auto_minus_best"] >= -0.003 else "missed"
        console.print(
            f"auto - {found['best_single']} (best single): {100 * found['auto_minus_best']:+.2f} points ({met}); "
            f"linear area, {found['best_single_linear']}: {100 * found['auto_minus_best_linear']:+.2f}; "
            f"above random past 50 labels: {'yes' if found['above_random'] else 'no'}"
        )


def stop_signal(records: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Compare the stop signal with the truth, by number of labels. Accuracies carry the noise of the test set."""
    rows = []
    for labels in STOP_BUDGETS:
        at = BUDGETS.index(labels)
        told, came = [], []
        for record in records:
            for signal in record.get("signals", []):
                if signal["labels"] == labels:
                    told.append(signal)
                    # accuracy between two budgets, on the log scale on which it is about straight
                    share = np.log((labels + MORE) / labels) / np.log(BUDGETS[at + 1] / labels)
                    came.append((record["accuracy"][at + 1] - record["accuracy"][at]) * min(1.0, share))
        if told:
            rows.append(
                {
                    "labels": labels,
                    "campaigns": len(told),
                    "inside": float(np.mean([s["low"] <= s["true"] <= s["high"] for s in told])),
                    "bias": float(np.mean([s["estimate"] - s["true"] for s in told])),
                    "width": float(np.mean([s["high"] - s["low"] for s in told])),
                    "explored": float(np.mean([s["explored"] for s in told])),
                    "gain": float(np.mean([s["gain"] for s in told])),
                    "gain_true": float(np.mean(came)),
                }
            )
    return rows


def print_stop(rows: list[dict[str, float]]) -> None:
    """Print how the stop signal did."""
    table = Table(title=f"stop signal of auto: estimated accuracy, and gain of the next {MORE} labels")
    for column in ("labels", "campaigns", "from exploration", "bias", "width", "inside", "gain told", "came"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row["labels"]),
            str(row["campaigns"]),
            f"{row['explored']:.0%}",
            f"{100 * row['bias']:+.1f}",
            f"{100 * row['width']:.1f}",
            f"{row['inside']:.0%}",
            f"{100 * row['gain']:.2f}",
            f"{100 * row['gain_true']:.2f}",
        )
    console.print(table)


def measure_speed(n: int = 100_000, d: int = 512, labelled: int = 1_000) -> dict[str, float]:
    """Seconds to order a large pool by auto, before there is a model and with one."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, d)).astype(np.float32)
    y = rng.integers(0, 10, n + labelled)
    X = 0.3 * centres[y] + rng.standard_normal((n + labelled, d), dtype=np.float32)
    probs = rng.dirichlet(np.full(10, 0.3), n).astype(np.float32)
    seconds = {}
    for stage, m in (("cold", 0), ("warm", labelled)):
        began = time.perf_counter()
        order("auto", probs=probs if m else None, X=X[labelled:], labelled_X=X[:m], labelled_y=y[:m], rng=rng)
        seconds[stage] = round(time.perf_counter() - began, 2)
    console.print(f"auto on {n} x {d}: {seconds['cold']} s without a model, {seconds['warm']} s with one")
    return seconds


def plot(name: str, found: dict[str, Any], path: Path) -> None:
    """Draw the learning curves of a set, and what each strategy is worth over random."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5))
    rows = found["strategies"]
    ranked = sorted(rows, key=lambda s: -rows[s]["area"])
    colours = pyplot.get_cmap("tab20")
    for place, strategy in enumerate(ranked):
        special = strategy in ("auto", "random")
        style = {"linewidth": 2.5 if special else 1.0, "linestyle": "--" if strategy == "random" else "-"}
        style["color"] = {"auto": "black", "random": "grey"}.get(strategy, colours(place % 20))
        left.plot(BUDGETS, rows[strategy]["curve"], label=strategy, **style)
        if "random" in rows and strategy != "random":
            gain = 100 * (np.array(rows[strategy]["curve"]) - rows["random"]["curve"])
            right.plot(BUDGETS, gain, **style)
    left.axhline(found["goal"], color="grey", linewidth=0.7)
    right.axhline(0.0, color="grey", linewidth=0.7)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("labels")
    left.set_ylabel("accuracy")
    right.set_ylabel("points above random")
    left.set_title(name)
    left.legend(fontsize=7, ncol=2)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Compare query strategies on real images.")
    add_arguments(parser)
    parser.add_argument("--sets", default=",".join(TEST))
    parser.add_argument("--strategies", default=",".join([*STRATEGIES, PURE]))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--axes", type=int, default=256, help="0: the vectors as they are")
    parser.add_argument("--exploration", type=float, default=EXPLORATION)
    options = parser.parse_args()
    packs = []
    for name in options.sets.split(","):
        try:
            packs.append(load_pack(name, options.data))
        except Missing as missing:
            console.print(f"skipping {name}: {missing}", markup=False)
    if not packs:
        sys.exit(2)
    names = [pack.name for pack in packs]
    options.cache.mkdir(parents=True, exist_ok=True)
    strategies = options.strategies.split(",")
    try:
        records = run_all(packs, strategies, options.seeds, options)
    except Missing as missing:
        console.print(str(missing), markup=False)
        sys.exit(2)
    RESULTS.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"budgets": BUDGETS, "seeds": options.seeds, "axes": options.axes}
    found["sets"] = {name: summarise(records, name, strategies) for name in names}
    for name in names:
        print_set(name, found["sets"][name])
        plot(name, found["sets"][name], RESULTS / f"priority_{name}.png")
    found["stop_signal"] = stop_signal(records)
    print_stop(found["stop_signal"])
    found["seconds_100k"] = measure_speed()
    (RESULTS / "priority.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
