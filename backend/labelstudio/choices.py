"""Single-choice image classification: ``<Choices>`` on an ``<Image>``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from backend.labelstudio.image_choices import ImageChoices
from backend.labelstudio.on_image import NO_LABEL


@dataclass(frozen=True)
class ChoicesKind(ImageChoices):
    """One single-choice control on one image; a label is a class index."""

    name: ClassVar[str] = "choices"
    several: ClassVar[bool] = False
    fewest_choices: ClassVar[int] = 2

    def target(self, result: Sequence[Mapping[str, Any]], task_id: int | None = None) -> int | None:
        """Return the class an annotation chose.

        Parameters
        ----------
        result : sequence of mapping
            An annotation's ``result``.
        task_id : int, optional
            For the log, where a label is not one of the config.

        Returns
        -------
        int or None
            Index into ``classes``; None where the annotation chose none of them.
        """
        for names in self.chosen(result):
            if names is None or len(names) != 1:
                continue
            if names[0] in self.classes:
                return self.classes.index(names[0])
            self.report(names[0], task_id)
        return None

    def consensus(self, labels: Sequence[int]) -> int:
        """Return the most frequent class; in a tie, the one given last."""
        counts = Counter(labels)
        most = max(counts.values())
        return next(label for label in reversed(labels) if counts[label] == most)

    def blank(self, n: int) -> np.ndarray:
        """Return -1 for each of n tasks, int64 of shape (n,)."""
        return np.full(n, NO_LABEL, dtype=np.int64)

    def text(self, label: Any) -> str:
        """Return the class's name."""
        return self.classes[int(label)]

    def parse(self, text: str) -> int | None:
        """Return the class of this name."""
        return self.classes.index(text) if text in self.classes else None

    def named(self, text: str) -> str:
        """Return the name as it is."""
        return text

    def result(self, label: Any, confidence: float) -> list[dict[str, Any]]:
        """Return a Label Studio result that chooses class ``label``; the confidence is the region's score."""
        return [self.region([self.text(label)], confidence)]
