"""From labels to numbers, and back to what they are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.datasets.example import DatasetError, Example


def encode(
    examples: Sequence[Example], classes: Sequence[str] | None = None, *, unlabelled: bool = False
) -> tuple[list[str], np.ndarray]:
    """Return the classes and the position of each example's among them, int64 of shape (n,).

    Parameters
    ----------
    examples : sequence of Example
    classes : sequence of str, optional
        Default: those there are, sorted.
    unlabelled : bool
        An image without a label has -1; else it is an error.

    Raises
    ------
    DatasetError
        If an example has several labels, one that is not among ``classes``, or none where that is an error.
    """
    for example in examples:
        if isinstance(example.label, list):
            raise DatasetError(
                f"{example.where}: {example.image} has several classes, {', '.join(example.label)}; one is needed"
            )
        if example.label is None and not unlabelled:
            raise DatasetError(f"{example.where}: {example.image} has no label; one is needed")
    names = sorted({str(one.label) for one in examples if one.label is not None})
    names = names if classes is None else list(classes)
    number: dict[str | None, int] = {name: place for place, name in enumerate(names)} | {None: -1}
    for example in examples:
        if example.label not in number:
            raise DatasetError(
                f"{example.where}: the class {example.label!r} is not among {', '.join(names)}"
            )
    # a label that is a list was refused above
    return names, np.array([number[one.label] for one in examples], dtype=np.int64)  # type: ignore[index]
