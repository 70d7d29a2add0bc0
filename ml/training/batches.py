"""Which images a step trains on: drawn anew each epoch from the seed, evenly for all processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.training.augment import image_seed


class EpochBatches:
    """The batches of one epoch for one process: lists of (row, seed of its change).

    The last, shorter batch is left out, unless it is the only one: batch normalisation learns nothing good from two
    images. Which ones these are changes from epoch to epoch.

    Parameters
    ----------
    rows : ndarray of int
        Rows to train on.
    targets : ndarray of int, same length
        Their classes.
    size : int
        Images a batch, on each process.
    seed : int
    weighted : bool
        Draw with replacement, every class equally often.
    rank, world : int
        This process, and how many there are.
    """

    def __init__(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        size: int,
        *,
        seed: int,
        weighted: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.rows, self.targets = rows, targets
        self.size, self.seed, self.weighted = size, seed, weighted
        self.rank, self.world = rank, world
        self.epoch = 0
        self.skip = 0

    @property
    def steps(self) -> int:
        """Steps in a whole epoch."""
        return max(1, len(self.rows) // (self.size * self.world))

    def __len__(self) -> int:
        return self.steps - self.skip

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        together = self.size * self.world
        for step in range(self.skip, self.steps):
            own = order[step * together : (step + 1) * together][self.rank :: self.world]
            yield [(int(row), image_seed(self.seed, self.epoch, step, int(row))) for row in own]

    def _order(self) -> np.ndarray:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.weighted:
            share = 1.0 / np.bincount(self.targets)[self.targets]
            order = rng.choice(self.rows, len(self.rows), p=share / share.sum())
        else:
            order = rng.permutation(self.rows)
        # so few that some process would have none
        return np.resize(order, self.world) if len(order) < self.world else order
