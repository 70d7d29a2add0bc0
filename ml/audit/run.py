"""The fast audit, from a dataset to findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ml.audit.evidence import learn_from_vectors
from ml.audit.findings import Findings, class_numbers, find
from ml.datasets import Dataset, DatasetError, Example
from ml.datasets.embedding import Progress, embed_dataset
from ml.embedders import Embedder


def audit(
    dataset: Dataset,
    embedder: Embedder,
    *,
    cache: Path | None = None,
    precision: float | None = 0.9,
    truth: str = "",
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
    step: Callable[[str], None] = lambda name: None,
) -> Findings:
    """Audit a dataset on frozen vectors.

    Parameters
    ----------
    dataset : Dataset
        One class an image; images without a label are looked at, too.
    embedder : Embedder
    cache : Path, optional
        As in `ml.datasets.embedding.embed_dataset`.
    precision : float or None
        How sure a correction must be, in (0, 1]; None: correct nothing.
    truth : str
        A further column with the true class where it is known, to measure by.
    skip_problems : bool
        Leave out images that cannot be used.
    progress : callable
        Called with the number of images that have a vector, and of all.
    step : callable
        Called with the name of what begins.

    Raises
    ------
    DatasetError
        If there are no labels, or of one class only, or images cannot be used and are not skipped.
    """
    class_numbers(dataset.examples, dataset.classes)  # what cannot be audited is not embedded first
    known = true_classes(dataset.examples, dataset.classes, truth) if truth else None
    step("embedding")
    embedded = embed_dataset(dataset, embedder, cache=cache, skip_problems=skip_problems, progress=progress)
    if known is not None:
        known = true_classes(embedded.examples, dataset.classes, truth)
    step("judging")
    labels = class_numbers(embedded.examples, dataset.classes)
    evidence = learn_from_vectors(embedded.vectors, labels, len(dataset.classes), embedded.keys)
    return find(embedded, labels, dataset.classes, evidence, precision=precision, truth=known)


def true_classes(examples: list[Example], classes: list[str], column: str) -> np.ndarray:
    """Return the true class of each example, int64 of shape (n,); -1 where the column says nothing.

    A class that no label has gets a number above all others.

    Raises
    ------
    DatasetError
        If no example has the column.
    """
    if not any(column in example.more for example in examples):
        columns = dict.fromkeys(name for example in examples[:100] for name in example.more)
        raise DatasetError(
            f"no further column {column!r} to take true classes from; there are {', '.join(columns) or 'none'}"
        )
    number = {name: row for row, name in enumerate(classes)}
    values = (example.more.get(column) for example in examples)
    return np.array(
        [-1 if value in (None, "") else number.setdefault(str(value), len(number)) for value in values],
        np.int64,
    )
