"""From labelled images to what a training needs: classes, targets, and who is trained on and who is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.datasets import DatasetError, Example


@dataclass(frozen=True)
class Material:
    """Decoded images with their classes.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n, height, width, 3)
    targets : ndarray of int, shape (n,)
        Positions in ``classes``.
    classes : list of str
    train, valid : ndarray of int
        Rows to learn from, and rows held out.
    """

    pixels: np.ndarray
    targets: np.ndarray
    classes: list[str]
    train: np.ndarray
    valid: np.ndarray


def labelled(examples: Sequence[Example]) -> list[Example]:
    """Return the examples that have a class.

    Raises
    ------
    DatasetError
        If one has several: a training is for one class an image.
    """
    for example in examples:
        if isinstance(example.label, list):
            raise DatasetError(
                f"{example.where}: has several classes, {', '.join(example.label)}: only one an image can be trained"
            )
    return [example for example in examples if example.label is not None]


def choose_classes(examples: Sequence[Example], names: Sequence[str] | None, number: int | None) -> list[str]:
    """Return the classes in their order: as configured, else sorted.

    Raises
    ------
    DatasetError
        If there is only one, or the dataset and the configuration do not agree.
    """
    counts = Counter(str(example.label) for example in examples)
    if names is not None and (unknown := sorted(counts.keys() - set(names))):
        raise DatasetError(
            f"the dataset has classes that Dataset.names has not: {', '.join(unknown)}; it has {', '.join(names)}"
        )
    classes = list(names) if names is not None else sorted(counts)
    if len(counts) < 2:
        what = f"only one class, {next(iter(counts))}" if counts else "no labelled image"
        raise DatasetError(f"the dataset has {what}: a classifier needs at least two classes")
    if number is not None and number != len(classes):
        raise DatasetError(
            f"Model.num_classes is {number}, the dataset has {len(classes)} classes: {', '.join(classes)}"
        )
    return classes


def large_classes(examples: Sequence[Example], least: int) -> list[Example]:
    """Return the labelled examples of classes that have at least so many."""
    counts = Counter(str(example.label) for example in examples)
    return [example for example in examples if counts[str(example.label)] >= least]
