"""What the steps of segmentation work with: tasks by row, features and masks from disk."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import cast

import numpy as np

from backend.courses.base import Lesson
from backend.labelstudio.mask_label import MaskLabel
from backend.labelstudio.segmentation import SegmentationKind
from backend.segmentation.labels import MaskFiles
from backend.segmentation.memory import Memory
from backend.segmentation.network import Painter
from ml.masks import MaskError
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.store import PyramidStore

log = logging.getLogger(__name__)

_REPORT_EVERY = 32


class FeaturesGone(RuntimeError):
    """The stored features of an image are damaged; the next refresh reads them again."""


@dataclass(frozen=True)
class Desk:
    """A lesson in segmentation, and where features, masks and what is remembered of them are.

    Attributes
    ----------
    lesson : Lesson
    pyramids : PyramidStore
    files : MaskFiles
    memory : Memory
    painter : Painter or None
        The project's own network, which predicts the unlabelled tasks.
    """

    lesson: Lesson
    pyramids: PyramidStore
    files: MaskFiles
    memory: Memory
    painter: Painter | None = None

    @property
    def kind(self) -> SegmentationKind:
        """The project's."""
        return cast(SegmentationKind, self.lesson.kind)

    def key(self, row: int) -> str:
        """Return the content of a task's image."""
        return str(self.lesson.embedded.keys[row])

    def label(self, row: int) -> MaskLabel:
        """Return a labelled task's mask."""
        return cast(MaskLabel, self.lesson.targets.labels[row])

    def pyramid(self, row: int) -> Pyramid:
        """Return the features of a task's image.

        Raises
        ------
        FeaturesGone
            If they were damaged.
        """
        found = self.pyramids.get(self.key(row))
        if found is None:
            task_id = self.lesson.targets.ids[row]
            raise FeaturesGone(
                f"task {task_id}: the features of its image are gone; the next refresh reads them again"
            )
        return found

    def mask(self, row: int) -> np.ndarray:
        """Return a labelled task's index mask at work size."""
        return self.files.mask(self.label(row), self.key(row), lambda: self.pyramid(row).size)

    def with_features(self, rows: np.ndarray) -> np.ndarray:
        """Return those of the tasks whose images have features."""
        keys, missing = self.lesson.embedded.keys, self.lesson.missing
        return np.array(
            [row for row in rows.tolist() if keys[row] and keys[row] not in missing], dtype=np.int64
        )

    def labelled(self) -> np.ndarray:
        """Return the tasks with features and a mask that fits the image, ascending; new masks are decoded.

        One that does not fit costs its own task, and the log names it.
        """
        targets, progress = self.lesson.targets, self.lesson.scene.progress
        rows = self.with_features(np.flatnonzero(targets.labelled))
        usable, used = [], []
        for number, row in enumerate(rows.tolist()):
            label, key = self.label(row), self.key(row)
            if not self.files.has(label, key):
                if number % _REPORT_EVERY == 0:
                    progress("masks", number, len(rows))
                try:
                    self.files.decode(label, key, self.pyramid(row).size)
                except MaskError as error:
                    log.warning("task %d: its mask cannot be used: %s", targets.ids[row], error)
                    continue
            usable.append(row)
            used.append((label, key))
        self.files.keep_only(used)
        return np.array(usable, dtype=np.int64)
