"""Which unlabelled images to label next. One query strategy a module, one registry line each.

Every strategy is called as ``select(probs, X, labelled_X, k, rng)`` and returns the indices of at most k rows
of the pool, best first, and a utility of every row, higher for better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.acquisition import diverse_margin, margin, random, spread

__all__ = ["STRATEGIES", "Strategy", "find_strategy"]

Strategy = Callable[
    [np.ndarray | None, np.ndarray, np.ndarray, int, np.random.Generator], tuple[np.ndarray, np.ndarray]
]

STRATEGIES: dict[str, Strategy] = {
    "random": random.select,
    "margin": margin.select,
    "diverse_margin": diverse_margin.select,
    "spread": spread.select,
}


def find_strategy(name: str) -> Strategy:
    """Return a strategy by name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in STRATEGIES:
        raise ValueError(f"unknown query strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]
