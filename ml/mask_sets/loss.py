"""What a conversion costs: the share of pixels that are of another class after it, and IoU of before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Loss:
    """Counted over masks, one at a time.

    Attributes
    ----------
    pixels, changed : int
        Of all masks; those whose number is another one after the conversion.
    worst : float
        Largest share of changed pixels in one mask.
    where : str
        That mask's place.
    """

    pixels: int = 0
    changed: int = 0
    worst: float = 0.0
    where: str = ""
    _shared: np.ndarray | None = None
    _either: np.ndarray | None = None

    def add(self, before: np.ndarray, after: np.ndarray, where: str) -> None:
        """Compare a mask with what is left of it, both of one shape."""
        changed = int(np.count_nonzero(before != after))
        self.pixels += before.size
        self.changed += changed
        if changed / before.size > self.worst:
            self.worst, self.where = changed / before.size, where
        had, has = (np.bincount(mask.ravel(), minlength=65_536) for mask in (before, after))
        shared = np.bincount(before[before == after], minlength=65_536)
        self._shared = shared if self._shared is None else self._shared + shared
        either = had + has - shared
        self._either = either if self._either is None else self._either + either

    @property
    def share(self) -> float:
        """Share of all pixels that changed."""
        return self.changed / max(self.pixels, 1)

    @property
    def iou(self) -> float:
        """Mean over the classes there are of intersection over union of before and after; 1 without any."""
        if self._shared is None or self._either is None:
            return 1.0
        there = self._either > 0
        return float((self._shared[there] / self._either[there]).mean())

    def __str__(self) -> str:
        if not self.changed:
            return "nothing was lost"
        return (
            f"{self.share:.3%} of the pixels are of another class than before, IoU of before and after "
            f"{self.iou:.4f}, at worst {self.worst:.2%} ({self.where})"
        )
