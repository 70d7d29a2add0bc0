"""Train a small network where it is: one thread, seeded, nothing outside changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded_torch(rng: np.random.Generator) -> Iterator[None]:
    """Run torch on one thread and under a seed drawn from ``rng``; afterwards both are as they were.

    A batch of a network this small is computed sooner than several threads have agreed on who computes what,
    and on a busy machine they wait for one another a hundred times as long.
    """
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
