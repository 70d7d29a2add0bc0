"""What a demo is about: images, what is right about them, and what a careless person said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backend.registry import Version

Result = list[dict[str, Any]]
Progress = Callable[[int, int], None]


class Subject(Protocol):
    """Images with right labels, some of which come labelled, and a few of those wrongly.

    Images and their labels go by their number, from 0.
    """

    @property
    def name(self) -> str:
        """The folder of its images, and of what the demo exports."""
        ...

    @property
    def title(self) -> str:
        """The project's title."""
        ...

    @property
    def label_config(self) -> str:
        """The project's label config."""
        ...

    @property
    def export_format(self) -> str:
        """The format the demo exports, of `backend.export`."""
        ...

    @property
    def export_suffix(self) -> str:
        """What the export's name ends with."""
        ...

    @property
    def measure(self) -> str:
        """What `agreement` is, in words."""
        ...

    @property
    def per_round(self) -> int:
        """How many tasks the annotator answers before Lineup learns again."""
        ...

    @property
    def images(self) -> int:
        """How many images there are."""
        ...

    @property
    def given(self) -> Mapping[int, Any]:
        """Labels of the images that come labelled."""
        ...

    @property
    def planted(self) -> set[int]:
        """The images whose given label is wrong on purpose."""
        ...

    def render(self, folder: Path, progress: Progress) -> list[Path]:
        """Write the images that are missing in a folder; return all, in order."""
        ...

    def truth(self, index: int) -> Any:
        """Return an image's right label."""
        ...

    def write(self, label: Any) -> Result:
        """Return the annotation result that gives a label."""
        ...

    def read(self, result: Result) -> Any:
        """Return the label in an annotation's or a prediction's result."""
        ...

    def agreement(self, label: Any, truth: Any) -> float:
        """Return how right a label is, in [0, 1]."""
        ...

    def random_order(self, files: Path, learned: Learned) -> RandomOrder:
        """Return what tells what a team gets that labels in random order, with the learner that Lineup uses.

        Parameters
        ----------
        files : Path
            The folder of the images.
        learned : Learned
        """
        ...


@dataclass(frozen=True)
class Learned:
    """What Lineup learned, and where it keeps what it learned from."""

    version: Version
    model_dir: Path


class RandomOrder(Protocol):
    """Labelling in random order."""

    def __call__(self, rounds: Sequence[int], seed: int, progress: Callable[[], None]) -> list[float]:
        """Return how right the images without a label at the start are after each number of labels, in [0, 1]."""
        ...
