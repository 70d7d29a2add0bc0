"""Which digit an image shows: a demo with one class an image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from demo.annotator import choice, chosen
from demo.digits import LABEL_CONFIG, Digits, make_digits, render
from demo.figures import Pool, random_order
from demo.subject import Learned, Progress, RandomOrder
from ml.vectors import VectorStore, content_key


class DigitChoices:
    """A `demo.subject.Subject`: a label is a digit's name."""

    name = "digits"
    title = "Digits"
    label_config = LABEL_CONFIG
    export_format = "jsonl"
    export_suffix = ".jsonl"
    measure = "right"
    per_round = 30

    def __init__(self) -> None:
        self.digits: Digits = make_digits()

    @property
    def given(self) -> dict[int, str]:
        """Labels of the images that come labelled."""
        return self.digits.given

    @property
    def planted(self) -> set[int]:
        """The images whose given label is wrong on purpose."""
        return self.digits.planted

    @property
    def images(self) -> int:
        """How many there are."""
        return len(self.digits.truth)

    def render(self, folder: Path, progress: Progress) -> list[Path]:
        """Write the images that are missing in a folder; return all, in order."""
        return render(folder, progress)

    def truth(self, index: int) -> str:
        """Return the digit an image shows."""
        return self.digits.truth[index]

    def write(self, label: str) -> list[dict[str, Any]]:
        """Return a result that chooses a digit."""
        return choice(label)

    def read(self, result: list[dict[str, Any]]) -> str:
        """Return the digit a result chooses."""
        return chosen(result)

    def agreement(self, label: str, truth: str) -> float:
        """Return 1.0 where a label is right."""
        return float(label == truth)

    def random_order(self, files: Path, learned: Learned) -> RandomOrder:
        """Return `demo.figures.random_order` for the images as Lineup sees them: by the vectors it learned from."""
        vectors = VectorStore(
            learned.model_dir / "vectors",
            learned.version.manifest["fingerprint"],
            learned.version.arrays["W"].shape[0],
        )
        keys = [content_key(path.read_bytes()) for path in sorted(files.glob("*.png"))]
        X, there = vectors.get(keys)
        if not there.all():
            raise RuntimeError(f"{(~there).sum()} of {len(keys)} images have no vector")
        start = np.full(len(keys), -1)
        for index, label in self.given.items():
            start[index] = int(label)
        pool = Pool(X, keys, np.array([int(label) for label in self.digits.truth]), start, 10)
        return partial(random_order, pool)
