"""What an audit says of a set of masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.datasets.example import Problem
from ml.mask_sets.scene import Scene
from ml.masks.classes import MaskClasses
from ml.suspicion.masks import MaskFindings, MaskJudgement, Part

SUSPECT, KEPT = "suspect", "kept"
_DIGITS = 4  # of a suspicion, as it is written


@dataclass(frozen=True)
class Twins:
    """Two images that show nearly the same, with masks that differ.

    Attributes
    ----------
    rows : (int, int)
    dice : float
        Of the two masks, the mean over classes that either has.
    """

    rows: tuple[int, int]
    dice: float


@dataclass(frozen=True)
class MaskAudit:
    """What was found of n masks.

    Attributes
    ----------
    source : Path
    classes : MaskClasses
    scenes : list of Scene, length n
    findings : list of MaskFindings, length n
    judgement : MaskJudgement
    counts : ndarray of int64, shape (K, K)
        Pixels at work size by given class (rows) and predicted class (columns).
    fault : list of str, length n
        What is wrong with an image itself (`ml.quality`); empty where nothing is.
    groups : ndarray of int, shape (n,)
        Number of each image's group of near-duplicates.
    twins : list of Twins
        The most different first.
    method : str
        How it was learned.
    problems : list of Problem
        What was left out.
    given : callable
        Returns the mask of a row at work size, (h, w).
    probabilities : callable
        Returns those of a row, float32 of shape (K, h, w), by heads that have not seen its image.
    """

    source: Path
    classes: MaskClasses
    scenes: list[Scene]
    findings: list[MaskFindings]
    judgement: MaskJudgement
    counts: np.ndarray
    fault: list[str]
    groups: np.ndarray
    twins: list[Twins]
    method: str
    problems: list[Problem]
    given: Callable[[int], np.ndarray]
    probabilities: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def suspicion(self) -> np.ndarray:
        """Probability that each mask is wrong, shape (n,)."""
        return self.judgement.suspicion

    @property
    def dice(self) -> np.ndarray:
        """Of each mask and its prediction, shape (n,); NaN where neither has a pixel that counts."""
        return np.array([found.dice for found in self.findings])

    @property
    def suspects(self) -> np.ndarray:
        """Rows of masks to look at, the most suspicious first; of equally suspicious ones, the strongest evidence."""
        rows = np.flatnonzero(self.judgement.suspect)
        parts = [self.part(row) for row in rows.tolist()]
        strength = np.array([0.0 if part is None else part.strength for part in parts])
        return rows[np.lexsort((-strength, -np.round(self.suspicion[rows], _DIGITS)))]

    @property
    def duplicates(self) -> int:
        """How many images have a near-duplicate."""
        _, sizes = np.unique(self.groups, return_counts=True)
        return int(sizes[sizes > 1].sum())

    def part(self, row: int) -> Part | None:
        """Return what is most suspicious of a mask; None where the prediction would change nothing."""
        return self.judgement.part[row]

    def region(self, row: int) -> np.ndarray:
        """Return the pixels of that part, bool of shape (h, w)."""
        found, part = self.findings[row], self.part(row)
        return np.zeros(found.size, dtype=bool) if part is None else found.region(part)

    def predicted(self, row: int) -> np.ndarray:
        """Return the prediction for a row, an index mask of shape (h, w)."""
        return self.probabilities(row).argmax(axis=0).astype(self.classes.dtype)
