"""Multi-label image classification: ``<Choices choice="multiple">`` on an ``<Image>``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from backend.labelstudio.image_choices import ImageChoices
from backend.labelstudio.on_image import NO_LABEL
from ml.datasets.class_sets import join_classes, split_classes

ClassSet = tuple[bool, ...]


@dataclass(frozen=True)
class MultiLabelKind(ImageChoices):
    """One control on one image where any number of choices may hold; a label says of every class if it does."""

    name: ClassVar[str] = "multilabel"
    several: ClassVar[bool] = True
    fewest_choices: ClassVar[int] = 1

    def target(self, result: Sequence[Mapping[str, Any]], task_id: int | None = None) -> ClassSet | None:
        """Return the classes an annotation chose.

        Label Studio stores nothing for a control in which nothing is chosen, so a submitted annotation without
        choices says "none of these", unless the control is ``required``: then it has not been asked. An annotation
        with a choice that is not in the config does not count at all, since the set without it might be wrong.

        Parameters
        ----------
        result : sequence of mapping
            The ``result`` of an annotation that was submitted, not skipped.
        task_id : int, optional
            For the log, where a label is not one of the config.

        Returns
        -------
        tuple of bool or None
            One for each of ``classes``; None where the annotation does not count.
        """
        names: set[str] = set()
        for chosen in self.chosen(result):
            if chosen is None:
                return None
            names.update(chosen)
        unknown = sorted(names.difference(self.classes))
        for name in unknown:
            self.report(name, task_id)
        if unknown or (self.required and not names):
            return None
        return self._set(names)

    def consensus(self, labels: Sequence[ClassSet]) -> ClassSet:
        """Return the classes that more than half of the sets have; where half of them have one, the last decides."""
        votes = np.array(labels, dtype=bool).reshape(len(labels), -1)
        twice = 2 * votes.sum(axis=0)
        return tuple(np.where(twice == len(labels), votes[-1], twice > len(labels)).tolist())

    def blank(self, n: int) -> np.ndarray:
        """Return -1 for every class of each of n tasks, int8 of shape (n, K)."""
        return np.full((n, len(self.classes)), NO_LABEL, dtype=np.int8)

    def text(self, label: Any) -> str:
        """Return the classes' names in one line, as `ml.datasets.class_sets.join_classes`."""
        return join_classes(self._names(label))

    def parse(self, text: str) -> ClassSet | None:
        """Return the set in a line; None where it is no such line or a class is not in the config."""
        names = split_classes(text)
        return None if names is None or not set(names) <= set(self.classes) else self._set(names)

    def named(self, text: str) -> list[str]:
        """Return the names in a line; one that is not of the form is a class of a former single-choice config."""
        names = split_classes(text)
        return [text] if names is None else names

    def result(self, label: Any, confidence: float) -> list[dict[str, Any]]:
        """Return a Label Studio result that chooses the classes of a set; for none it is empty, as an annotation's."""
        names = self._names(label)
        return [self.region(names, confidence)] if names else []

    def _names(self, label: Any) -> list[str]:
        return [self.classes[number] for number in np.flatnonzero(label)]

    def _set(self, names: Iterable[str]) -> ClassSet:
        chosen = set(names)
        return tuple(name in chosen for name in self.classes)
