"""How honest the stop signal of `auto` is: what it tells on the way, against what came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.report import Sheet
from ml.acquisition.campaign import FOLDS, Step
from ml.stopping import MORE, look_ahead

LABELS = (100, 200, 300, 450, 700, 1000, 1400)


def watch(X: np.ndarray, y: np.ndarray, seed: int, signals: list[dict[str, float]]) -> Callable[[Step], None]:
    """Return what notes down, after the steps that count, what the stop signal says."""

    def note(step: Step) -> None:
        if len(step.rows) not in LABELS:
            return
        outlook = look_ahead(
            X[step.rows],
            y[step.rows],
            step.correct,
            step.confidence,
            step.pool_confidence,
            uniform=step.uniform,
            n_folds=FOLDS,
            rng=np.random.default_rng(seed),
        )
        if outlook is None or outlook.gain is None:
            return
        estimate = outlook.accuracy
        signals.append(
            {
                "labels": len(step.rows),
                "true": step.accuracy,
                "estimate": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "explored": float(estimate.source == "exploration"),
                "gain": outlook.gain,
            }
        )

    return note


def compare(records: Sequence[dict[str, Any]], budgets: Sequence[int]) -> list[dict[str, float]]:
    """Compare the stop signal with the truth, by number of labels. Accuracies carry the noise of the test set."""
    rows = []
    for labels in sorted(set(LABELS) & set(budgets[:-1])):
        at = budgets.index(labels)
        told, came = [], []
        for record in records:
            for signal in record.get("signals", []):
                if signal["labels"] == labels:
                    told.append(signal)
                    # accuracy between two budgets, on the log scale on which it is about straight
                    share = np.log((labels + MORE) / labels) / np.log(budgets[at + 1] / labels)
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


def sheet(rows: Sequence[dict[str, float]]) -> Sheet:
    """Return the table."""
    return Sheet(
        f"Stop signal of auto: estimated accuracy less the true one, and the gain of the next {MORE} labels, in points",
        (
            "labels",
            "campaigns",
            "from exploration",
            "bias",
            "width",
            "true one inside",
            "gain told",
            "gain come",
        ),
        [
            (
                f"{row['labels']:,}",
                str(row["campaigns"]),
                f"{row['explored']:.0%}",
                f"{100 * row['bias']:+.1f}",
                f"{100 * row['width']:.1f}",
                f"{row['inside']:.0%}",
                f"{100 * row['gain']:.2f}",
                f"{100 * row['gain_true']:.2f}",
            )
            for row in rows
        ],
    )
