"""Which images of a folder to label next, given those that are labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ml.acquisition import Pool, find_strategy
from ml.datasets.embedding import Embedded
from ml.datasets.encoding import encode
from ml.datasets.example import DatasetError, Example
from ml.heads.logistic import NotEnoughClasses
from ml.learners import choices


@dataclass(frozen=True)
class Selection:
    """The next batch.

    Attributes
    ----------
    examples : list of Example
        Best first.
    utilities : ndarray of float, shape (len(examples),)
        By the strategy, higher for better.
    suggestions : list of str
        The class the model finds most probable; empty before there is a model.
    pool : int
        Images there were to choose from.
    why_no_model : str
        Why there is none; empty where there is one.
    """

    examples: list[Example]
    utilities: np.ndarray
    suggestions: list[str]
    pool: int
    why_no_model: str = ""

    def rows(self) -> list[Example]:
        """Return the batch as a dataset to write: images without labels, with utility and suggestion."""
        return [
            replace(
                example,
                label=None,
                more={**example.task, "utility": round(float(utility), 6), "suggestion": suggestion},
            )
            for example, utility, suggestion in zip(
                self.examples, self.utilities, self.suggestions, strict=True
            )
        ]


def select_images(
    labelled: Embedded | None, images: Embedded, n: int, *, method: str, seed: int
) -> Selection:
    """Choose the images to label next.

    Parameters
    ----------
    labelled : Embedded or None
        Images with their labels; None before the first.
    images : Embedded
        To choose from; what is labelled already, by its content, is left out.
    n : int
        How many, at least 1.
    method : str
        One of `ml.acquisition.STRATEGIES`.
    seed : int

    Raises
    ------
    ValueError
        If the strategy is unknown or ``n`` is not positive.
    DatasetError
        If nothing is left to choose from.
    """
    if n < 1:
        raise ValueError(f"a batch has at least one image, got {n}")
    strategy = find_strategy(method)
    pool = without(images, set(labelled.keys) if labelled else set())
    X = pool.vectors
    probs: np.ndarray | None = None
    names: list[str] = []
    why, given = "nothing is labelled yet", Pool(X)
    if labelled is not None:
        probs, names, why, y = _learn(labelled, X)
        given = Pool(X, probs, labelled.vectors, y)
    chosen, utilities = strategy(given, n, np.random.default_rng(seed))
    return Selection(
        [pool.examples[row] for row in chosen.tolist()],
        utilities[chosen],
        [names[best] for best in probs[chosen].argmax(axis=1).tolist()]
        if probs is not None
        else [""] * len(chosen),
        len(pool),
        why,
    )


# a task of computer vision, and what chooses for it; object detection would be a module and a line
TASKS: dict[str, Callable[..., Selection]] = {"classification": select_images}


def find_task(name: str) -> Callable[..., Selection]:
    """Return what chooses images for a task, called as `select_images` is.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in TASKS:
        raise ValueError(f"images are chosen for {', '.join(TASKS)}, not for {name!r}")
    return TASKS[name]


def _first_of_each(keys: list[str], known: set[str]) -> np.ndarray:
    """Return the rows of contents that are not known, each content once."""
    first = {key: row for row, key in reversed(list(enumerate(keys))) if key not in known}
    return np.array(sorted(first.values()), dtype=np.int64)


def without(images: Embedded, known: set[str]) -> Embedded:
    """Return the images whose content is not known, each content once.

    Raises
    ------
    DatasetError
        If none is left.
    """
    rows = _first_of_each(images.keys, known)
    if not len(rows):
        raise DatasetError("every image of the folder is labelled already: there is none to choose from")
    return images.take(rows)


def _learn(labelled: Embedded, X: np.ndarray) -> tuple[np.ndarray | None, list[str], str, np.ndarray]:
    names, y = encode(labelled.examples)
    try:
        fit = choices.fit(labelled.vectors, y, len(names), labelled.keys)
    except NotEnoughClasses as error:
        return None, names, str(error), y
    return fit.head.predict_proba(X), names, "", y
