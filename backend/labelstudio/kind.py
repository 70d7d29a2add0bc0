"""What a kind of problem is to the rest of Lineup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from backend.labelstudio.mask_label import MaskLabel

# a task's label: a class index, of every class whether the task has it, or a mask
Label = int | tuple[bool, ...] | MaskLabel
# the same as people read it: a class, or a list of classes
Named = str | list[str]


class Kind(Protocol):
    """How annotations become labels, and predictions results, for one kind of problem.

    A label given to a method may be a row of an array of labels too.
    """

    @property
    def name(self) -> str:
        """The kind's name, as in `backend.labelstudio.config.KINDS`."""
        ...

    @property
    def data_key(self) -> str:
        """The task field with the image."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the config."""
        ...

    @property
    def several(self) -> bool:
        """Whether a task may have more than one class."""
        ...

    @property
    def graded(self) -> bool:
        """Whether two people's labels are more or less alike, rather than the same or not."""
        ...

    @property
    def digest(self) -> str:
        """A digest of all that a head learned for this config depends on."""
        ...

    def image_uri(self, data: Mapping[str, Any]) -> str | None:
        """Return the image's URI in a task's data."""
        ...

    def target(self, result: Sequence[Mapping[str, Any]], task_id: int | None = None) -> Label | None:
        """Return the label an annotation gives; None where it gives none that counts."""
        ...

    def consensus(self, labels: Sequence[Any]) -> Label:
        """Return the label of a task with several annotations that weigh the same; oldest first, at least one."""
        ...

    def blank(self, n: int) -> np.ndarray:
        """Return an array for the labels of n tasks, none of which has one: -1 everywhere."""
        ...

    def text(self, label: Any) -> str:
        """Return a label as one line that `parse` understands."""
        ...

    def parse(self, text: str) -> Label | None:
        """Return the label in a line; None where a class is not, or no longer, one of the config's."""
        ...

    def named(self, text: str) -> Named:
        """Return the class or classes in a line, those the config no longer has too."""
        ...

    def result(self, label: Any, confidence: float) -> list[dict[str, Any]]:
        """Return a Label Studio result that gives this label, with the confidence in [0, 1] as its score.

        A mask is given as its pixels.
        """
        ...
