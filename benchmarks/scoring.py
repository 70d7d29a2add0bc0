"""From vectors to suspicion in the usual way and in Lineup's, timed."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from benchmarks.report import console, peak_memory
from ml.heads.ensemble import Ensemble, fit_ensemble
from ml.suspicion import Judgement, make_judge


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


def measure_size(n: int, d: int, n_classes: int) -> dict[str, float]:
    """Time and memory on made-up vectors, in a process of their own, whose peak is theirs alone."""
    with (
        console.status(f"{n:,} x {d}, {n_classes} classes"),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(score_made_up, n, d, n_classes).result()


def score_made_up(n: int, d: int, n_classes: int) -> dict[str, float]:
    """Score ``n`` made-up rows from nothing; seconds and the process's peak memory before and after."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_classes, d)).astype(np.float32)
    y = rng.integers(0, n_classes, n)
    X = centres[y] * np.float32(0.35) + rng.standard_normal((n, d), dtype=np.float32)
    keys = [f"{row:032x}" for row in range(n)]
    ours(X[:500], y[:500] % 2, 2, keys[:500])  # imports and thread pools are not what is measured
    before = peak_memory() / 2**30
    seconds, (fit, _) = timed(lambda: ours(X, y, n_classes, keys))
    return {
        "rows": n,
        "dim": d,
        "classes": n_classes,
        "seconds": seconds,
        "peak_gib": peak_memory() / 2**30,
        "peak_before_gib": before,
        "accuracy": float((fit.oos_probs.argmax(axis=1) == y).mean()),
    }
