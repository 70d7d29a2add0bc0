"""Which unlabelled images to label next. One query strategy a module, one registry line each.

Every strategy is called as ``select(pool, k, rng)`` and returns the indices of at most k rows of the pool,
best first, and a utility of every row, higher for better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.acquisition import (
    auto,
    badge,
    consensus,
    diverse_margin,
    dropquery,
    entropy,
    herding,
    kcenter,
    least,
    margin,
    mixture,
    random,
    ratio,
    spread,
    typiclust,
    vae,
)
from ml.acquisition.pool import Pool

__all__ = ["STRATEGIES", "Pool", "Strategy", "find_strategy"]

Strategy = Callable[[Pool, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]

STRATEGIES: dict[str, Strategy] = {
    "auto": auto.select,
    "random": random.select,
    "least": least.select,
    "margin": margin.select,
    "ratio": ratio.select,
    "entropy": entropy.select,
    "diverse_margin": diverse_margin.select,
    "badge": badge.select,
    "dropquery": dropquery.select,
    "consensus": consensus.select,
    "typiclust": typiclust.select,
    "spread": spread.select,
    "herding": herding.select,
    "kcenter": kcenter.select,
    "vae": vae.select,
    "mixture": mixture.select,
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
