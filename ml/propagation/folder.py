"""What `lineup propagate` leaves for `lineup propagate --finish`: one folder of plain files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets import read_dataset, write_dataset
from ml.datasets.embedding import Embedded
from ml.datasets.encoding import encode
from ml.datasets.example import DatasetError, Example
from ml.propagation.propagate import Propagated, spread
from ml.propagation.votes import Member

LABELLED, PROPAGATED, TO_LABEL, REPORT = "labelled.jsonl", "propagated.jsonl", "to_label.jsonl", "report.json"


def write_propagated(
    folder: Path,
    labelled: Embedded,
    pool: Embedded,
    found: Propagated,
    classes: list[str],
    report: Mapping[str, Any],
) -> None:
    """Write the labelled images, those that got a label, and those for people, the most doubtful first.

    Parameters
    ----------
    folder : Path
        Exists; it may be renamed as a whole, so paths of images are absolute.
    """
    asked = np.flatnonzero(found.ask)
    asked = asked[np.argsort(found.confidence[asked], kind="stable")]
    write_dataset(map(_absolute, labelled.examples), folder / LABELLED)
    write_dataset(
        (
            _row(pool, found, classes, row, classes[found.labels[row]])
            for row in np.flatnonzero(~found.ask).tolist()
        ),
        folder / PROPAGATED,
    )
    write_dataset((_row(pool, found, classes, row, None) for row in asked.tolist()), folder / TO_LABEL)
    (folder / REPORT).write_text(
        json.dumps({**report, "classes": classes}, indent=1) + "\n", encoding="utf-8"
    )


@dataclass(frozen=True)
class Finished:
    """The labels of labelled images, pool and answers together.

    Attributes
    ----------
    examples : list of Example
        With the column ``source``: ``labelled`` from the beginning, ``person``, ``propagated`` or ``spread``.
    member : Member or None
        How neighbours voted on the last kind; None where nothing was left for them.
    """

    examples: list[Example]
    member: Member | None

    @property
    def counts(self) -> dict[str, int]:
        """How many labels are from where."""
        return dict(Counter(example.more["source"] for example in self.examples))


def finish_folder(folder: Path, answers: Embedded, embed: Callable[[list[Example]], Embedded]) -> Finished:
    """Label all that is left, from the answers of people.

    Parameters
    ----------
    folder : Path
        As `write_propagated` left it.
    answers : Embedded
        Images with labels; matched to the asked ones by content.
    embed : callable
        Returns the vectors of images of the folder's lists.

    Raises
    ------
    DatasetError
        If the folder is none of these, a label is not one of its classes, or no answer is to a question.
    """
    classes = _read_classes(folder)
    labelled, asked = (embed(_read_part(folder, name)) for name in (LABELLED, TO_LABEL))
    encode(answers.examples, classes)
    label_of = {key: str(one.label) for key, one in zip(answers.keys, answers.examples, strict=True)}
    answered = np.array([key in label_of for key in asked.keys], dtype=bool)
    if not answered.any():
        raise DatasetError(f"none of the {len(answers)} answers is of an image in {folder / TO_LABEL}")
    persons = [
        replace(asked.examples[row], label=label_of[asked.keys[row]]) for row in np.flatnonzero(answered)
    ]
    rest = np.flatnonzero(~answered)
    spread_to, member = [], None
    if len(rest):
        known = np.concatenate([labelled.vectors, asked.vectors[answered]])
        _, y = encode([*labelled.examples, *persons], classes)
        labels, member = spread(known, y, len(classes), asked.vectors[rest])
        spread_to = [
            replace(asked.examples[row], label=classes[label])
            for row, label in zip(rest, labels, strict=True)
        ]
    parts = {
        "labelled": labelled.examples,
        "person": persons,
        "propagated": _read_part(folder, PROPAGATED),
        "spread": spread_to,
    }
    return Finished(
        [replace(one, more={"source": source}) for source, part in parts.items() for one in part], member
    )


def _read_classes(folder: Path) -> list[str]:
    try:
        return list(json.loads((folder / REPORT).read_text(encoding="utf-8"))["classes"])
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder} was not written by lineup propagate: {error}") from error


def _read_part(folder: Path, name: str) -> list[Example]:
    path = folder / name
    return read_dataset(path).examples if path.stat().st_size else []


def _row(pool: Embedded, found: Propagated, classes: list[str], row: int, label: str | None) -> Example:
    more = {
        "suggestion": classes[found.labels[row]],
        "confidence": round(float(found.confidence[row]), 4),
        "second_opinion": classes[found.second[row]],
    }
    return _absolute(replace(pool.examples[row], label=label, more=more))


def _absolute(example: Example) -> Example:
    return replace(example, image=str(example.path.absolute()), path=None) if example.path else example
