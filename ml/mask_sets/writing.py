"""What all writers of masks share: go through the scenes, leave out what is broken, count what is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ml.datasets.example import Problem
from ml.mask_sets.loss import Loss
from ml.mask_sets.scene import MaskSet, Scene

Progress = Callable[[int, int], None]


@dataclass
class Written:
    """What came of writing a set.

    Attributes
    ----------
    count : int
        Scenes written.
    problems : list of Problem
        What was left out.
    loss : Loss
    """

    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    loss: Loss = field(default_factory=Loss)
    progress: Progress = lambda done, total: None

    def masks(self, found: MaskSet) -> Iterator[tuple[Scene, np.ndarray]]:
        """Yield scenes with their masks; one that cannot be read becomes a problem."""
        for number, scene in enumerate(found, 1):
            try:
                mask = found.mask(scene)
            except (OSError, ValueError) as error:
                self.problems.append(Problem(scene.where, str(error)))
            else:
                yield scene, mask
            self.progress(number, len(found))

    def done(self, scene: Scene, before: np.ndarray, after: np.ndarray) -> None:
        """Count a scene that was written, and compare its mask with what whoever reads it will find."""
        self.count += 1
        self.loss.add(before, after, scene.where)


def image_name(scene: Scene, folder: Path) -> str:
    """Return the path of a scene's image relative to a folder, or its URI."""
    if scene.path is None:
        return scene.image
    return Path(os.path.relpath(scene.path.absolute(), folder.absolute())).as_posix()
