"""Which images to label next: every query strategy on real images, against chance and against each other.

``python -m benchmarks priority --data DIR --weights FILE``. Replays labelled sets as if they were being labelled, 20
to 2,000 labels, several seeds, a logistic head on frozen vectors after every batch. Campaigns and vectors are kept
under ``--cache``, so a run that is interrupted goes on where it ended.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import stop_signal
from benchmarks.campaigns import ALL_LABELS, BUDGETS, PURE, TEST, run_all
from benchmarks.data import open_packs
from benchmarks.report import Sheet, Target, at_least, at_most, drawing, target_sheet
from ml.acquisition import STRATEGIES
from ml.acquisition.explore import arrange

EXPLORATION = 0.1  # of auto, as Lineup uses it; the others are measured pure
SHARE = 0.95  # of the accuracy with all labels
BEHIND = 0.003  # of area that auto may be behind the best single strategy
FEW = 50  # labels from which on auto has to be above chance


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    """Add this benchmark's own arguments."""
    parser.add_argument("--sets", default=",".join(TEST))
    parser.add_argument("--strategies", default=",".join([*STRATEGIES, PURE]))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--axes", type=int, default=256, help="0: the vectors as they are")
    parser.add_argument("--exploration", type=float, default=EXPLORATION)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="labels, ascending")
    parser.add_argument("--pool", type=int, default=100_000, help="rows of the pool that auto is timed on")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, on those of the sets that are there.

    Raises
    ------
    Missing
        If none is, or weights are not.
    """
    packs = open_packs(options.sets.split(","), options.data)
    strategies = options.strategies.split(",")
    records = run_all(packs, strategies, options)
    return {
        "budgets": list(options.budgets),
        "seeds": options.seeds,
        "axes": options.axes,
        "exploration": options.exploration,
        "sets": {pack.name: summarise(records, pack.name, strategies, options.budgets) for pack in packs},
        "stop_signal": stop_signal.compare(records, options.budgets),
        "speed": measure_speed(options.pool),
    }


def curves_of(records: list[dict[str, Any]], name: str, strategy: str) -> np.ndarray:
    """Accuracies of a strategy on a set, shape (seeds, budgets)."""
    return np.array([r["accuracy"] for r in records if (r["set"], r["strategy"]) == (name, strategy)])


def areas(curves: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Area under each curve over ``x``, as a mean accuracy, shape (seeds,)."""
    found: np.ndarray = np.trapezoid(curves, x, axis=1) / (x[-1] - x[0])
    return found


def labels_to_reach(curve: np.ndarray, goal: float, budgets: Sequence[int]) -> float | None:
    """Labels at which a mean curve first reaches an accuracy, between budgets on a log scale."""
    above = np.flatnonzero(curve >= goal)
    if len(above) == 0:
        return None
    at = int(above[0])
    if at == 0:
        return float(budgets[0])
    part = (goal - curve[at - 1]) / (curve[at] - curve[at - 1])
    return float(np.exp(np.log(budgets[at - 1]) + part * np.log(budgets[at] / budgets[at - 1])))


def summarise(
    records: list[dict[str, Any]], name: str, strategies: Sequence[str], budgets: Sequence[int]
) -> dict[str, Any]:
    """Put the figures of a set together, and how far auto is above the others."""
    full = float(np.mean([r["area"] for r in records if (r["set"], r["strategy"]) == (name, ALL_LABELS)]))
    rows = {}
    for strategy in strategies:
        curves = curves_of(records, name, strategy)
        of = areas(curves, np.log(budgets))
        rows[strategy] = {
            "area": float(of.mean()),
            "area_error": standard_error(of),
            "area_linear": float(areas(curves, np.asarray(budgets, dtype=float)).mean()),
            "curve": curves.mean(axis=0).tolist(),
            "labels_to_goal": labels_to_reach(curves.mean(axis=0), SHARE * full, budgets),
            "seconds": float(
                np.mean([r["seconds"] for r in records if (r["set"], r["strategy"]) == (name, strategy)])
            ),
        }
    found: dict[str, Any] = {"all_labels": full, "goal": SHARE * full, "strategies": rows}
    singles = [s for s in strategies if s not in ("auto", PURE)]
    if "auto" in rows and singles:
        best, best_linear = (max(singles, key=lambda s: rows[s][key]) for key in ("area", "area_linear"))
        found |= {
            "best_single": best,
            "auto_minus_best": rows["auto"]["area"] - rows[best]["area"],
            "best_single_linear": best_linear,
            "auto_minus_best_linear": rows["auto"]["area_linear"] - rows[best_linear]["area_linear"],
        }
    if "auto" in rows and "random" in rows:
        gap = curves_of(records, name, "auto") - curves_of(records, name, "random")
        error = np.array([standard_error(column) for column in gap.T])
        past = np.array(budgets) > FEW
        found |= {
            "auto_minus_random": gap.mean(axis=0).tolist(),
            "auto_minus_random_error": error.tolist(),
            "area_minus_random": rows["auto"]["area"] - rows["random"]["area"],
            # how far below chance it comes, in points, once two standard errors are granted
            "below_random": float(np.maximum(0.0, -(gap.mean(axis=0) + 2 * error)[past]).max(initial=0.0)),
        }
    return found


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean; 0 for a single value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def measure_speed(n: int, d: int = 512, labelled: int = 1_000) -> dict[str, float]:
    """Seconds to order a large pool by auto, before there is a model and with one."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, d)).astype(np.float32)
    y = rng.integers(0, 10, n + labelled)
    X = 0.3 * centres[y] + rng.standard_normal((n + labelled, d), dtype=np.float32)
    probs = rng.dirichlet(np.full(10, 0.3), n).astype(np.float32)
    found: dict[str, float] = {"rows": n, "dim": d}
    for stage, m in (("cold", 0), ("warm", labelled)):
        began = time.perf_counter()
        arrange(
            "auto", probs=probs if m else None, X=X[labelled:], labelled_X=X[:m], labelled_y=y[:m], rng=rng
        )
        found[stage] = time.perf_counter() - began
    return found


def targets(figures: dict[str, Any]) -> list[Target]:
    """Return what was aimed at."""
    found = []
    for name, one in figures["sets"].items():
        if "best_single" in one:
            what = (
                f"{name}: area of auto less that of `{one['best_single']}`, the best single strategy; points"
            )
            found.append(at_least(what, 100 * one["auto_minus_best"], -100 * BEHIND, "{:+.2f}"))
        if "below_random" in one:
            what = f"{name}: area of auto less that of random; points"
            found.append(at_least(what, 100 * one["area_minus_random"], 0.0, "{:+.2f}"))
            what = f"{name}: auto below random past {FEW} labels by more than two standard errors; points at most"
            found.append(at_most(what, 100 * one["below_random"], 0.0, "{:.2f}"))
    speed = figures["speed"]
    for stage, what in (("cold", "without a model"), ("warm", "with one")):
        found.append(
            at_most(
                f"auto on {speed['rows']:,} x {speed['dim']} {what}: seconds", speed[stage], 5.0, "{:.1f}"
            )
        )
    return found


def sheets(figures: dict[str, Any]) -> dict[str, Sheet]:
    """Return the tables."""
    sets = figures["sets"]
    strategies = dict.fromkeys(s for one in sets.values() for s in one["strategies"])
    ranked = sorted(
        strategies, key=lambda s: -np.mean([one["strategies"][s]["area"] for one in sets.values()])
    )
    found = {
        "targets": target_sheet("priority", targets(figures)),
        "areas": Sheet(
            f"Area under the learning curve in %, {figures['seeds']} seeds (labels to {SHARE:.0%} of the "
            "accuracy with all labels)",
            ("strategy", *sets),
            [(f"`{s}`", *(_area(one["strategies"][s], figures) for one in sets.values())) for s in ranked],
        ),
        "summary": Sheet(
            "Area under the learning curve in % (labels to 95 % of the accuracy with all labels)",
            ("images", "`auto`", "best other", "`random`"),
            [_summary(name, one, figures) for name, one in sets.items() if "best_single" in one],
        ),
        "stop": stop_signal.sheet(figures["stop_signal"]),
    }
    for name, one in sets.items():
        found[name] = Sheet(
            f"{name}: accuracy in % by labels; {100 * one['all_labels']:.1f} with all",
            ("strategy", *(f"{budget:,}" for budget in figures["budgets"]), "seconds"),
            [
                (
                    f"`{strategy}`",
                    *(f"{100 * value:.1f}" for value in row["curve"]),
                    f"{row['seconds']:.1f}",
                )
                for strategy, row in sorted(one["strategies"].items(), key=lambda item: -item[1]["area"])
            ],
        )
    return found


def _summary(name: str, one: dict[str, Any], figures: dict[str, Any]) -> tuple[str, ...]:
    rows, best = one["strategies"], one["best_single"]
    return (
        name,
        _area(rows["auto"], figures),
        f"{_area(rows[best], figures)} `{best}`",
        _area(rows["random"], figures),
    )


def _area(row: dict[str, Any], figures: dict[str, Any]) -> str:
    reach = row["labels_to_goal"]
    labels = f"> {figures['budgets'][-1]:,}" if reach is None else f"{reach:,.0f}"
    return f"{100 * row['area']:.2f} ± {100 * row['area_error']:.2f} ({labels})"


def plot(figures: dict[str, Any], path: Path) -> None:
    """Draw what each strategy is worth over random, set by set; where there is no random, the accuracy."""
    sets = figures["sets"]
    with drawing(path, len(sets), (4.5 * len(sets), 3.8)) as axes:
        for place, (one, (name, found)) in enumerate(zip(axes, sets.items(), strict=True)):
            rows = found["strategies"]
            base = (
                np.array(rows["random"]["curve"]) if "random" in rows else np.zeros(len(figures["budgets"]))
            )
            for strategy, row in sorted(rows.items()):
                shown = strategy in ("auto", found.get("best_single"), "margin", "typiclust")
                style = (
                    {"label": strategy, "linewidth": 1.5} if shown else {"color": "0.85", "linewidth": 0.8}
                )
                if strategy == "auto":
                    style |= {"color": "black", "linewidth": 2.5}
                one.plot(figures["budgets"], 100 * (row["curve"] - base), zorder=2 + shown, **style)
            one.set(xscale="log", xlabel="labels", title=name)
            if place == 0:
                one.set_ylabel("points above random" if "random" in rows else "accuracy, %")
