"""What `lineup propagate` leaves for `lineup propagate --finish`: one folder of plain files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ml.datasets import read_dataset, write_dataset
from ml.datasets.embedding import Embedded
from ml.datasets.encoding import encode
from ml.datasets.example import DatasetError, Example
from ml.propagation.finish import label_rest
from ml.propagation.propagate import Propagated

LABELLED, PROPAGATED, TO_LABEL, LEFT = "labelled.jsonl", "propagated.jsonl", "to_label.jsonl", "left.jsonl"
COPIES, REPORT = "copies.jsonl", "report.json"
# where a label is from
BEFORE, PERSON, SPREAD = "labelled", "person", "propagated"


def questions(pool: Embedded, found: Propagated, classes: list[str]) -> list[Example]:
    """Return the images for people without a label, the one whose answer teaches most first, with a suggestion."""
    asked = np.flatnonzero(found.ask)
    asked = asked[np.argsort(found.margin[asked], kind="stable")]
    return [_row(pool, found, classes, row, None) for row in asked.tolist()]


def write_propagated(
    folder: Path,
    labelled: Embedded,
    pool: Embedded,
    found: Propagated,
    classes: list[str],
    report: Mapping[str, Any],
    copies: Sequence[Example] = (),
) -> None:
    """Write the labelled images, those that got a label, those for people, and those that wait for their answers.

    Parameters
    ----------
    folder : Path
        Exists; it may be renamed as a whole, so paths of images are absolute.
    copies : sequence of Example
        Images of the same content as others: `finish_folder` gives them the same label.
    """
    write_dataset((_absolute(replace(one, label=None)) for one in copies), folder / COPIES)
    write_dataset(map(_absolute, labelled.examples), folder / LABELLED)
    write_dataset(map(_absolute, questions(pool, found, classes)), folder / TO_LABEL)
    for name, rows, gets_label in (
        (PROPAGATED, found.propagated, True),
        (LEFT, found.left, False),
    ):
        part = (
            _row(pool, found, classes, row, classes[found.labels[row]] if gets_label else None)
            for row in np.flatnonzero(rows).tolist()
        )
        write_dataset(map(_absolute, part), folder / name)
    (folder / REPORT).write_text(
        json.dumps({**report, "classes": classes}, indent=1) + "\n", encoding="utf-8"
    )


@dataclass(frozen=True)
class Finished:
    """The labels of labelled images, pool and answers together.

    Attributes
    ----------
    examples : list of Example
        With the column ``source``: ``labelled`` from the beginning, ``person`` or ``propagated``.
    keys : list of str
        Content digests.
    learner : str
        What labelled the last kind, as `ml.propagation.finish.label_rest` says; empty where nothing was left.
    """

    examples: list[Example]
    keys: list[str]
    learner: str

    @property
    def counts(self) -> dict[str, int]:
        """How many labels are from where."""
        return dict(Counter(example.more["source"] for example in self.examples))


def finish_folder(folder: Path, answers: Embedded, embed: Callable[[list[Example]], Embedded]) -> Finished:
    """Label all that is left, from the answers of people.

    What was propagated before is labelled again: with the answers it is known better.

    Parameters
    ----------
    folder : Path
        As `write_propagated` left it.
    answers : Embedded
        Images with labels; matched to those of the pool by content.
    embed : callable
        Returns the vectors of images of the folder's lists.

    Raises
    ------
    DatasetError
        If the folder is none of these, a label is not one of its classes, or no answer is to a question.
    """
    classes = list(_read_report(folder, "classes"))
    labelled = embed(_read_part(folder, LABELLED))
    asked = _read_part(folder, TO_LABEL)
    pool = embed([*asked, *_read_part(folder, PROPAGATED), *_read_part(folder, LEFT)])
    encode(answers.examples, classes)
    label_of = {key: str(one.label) for key, one in zip(answers.keys, answers.examples, strict=True)}
    wanted = set(map(id, asked))
    if not any(
        key in label_of for key, one in zip(pool.keys, pool.examples, strict=True) if id(one) in wanted
    ):
        raise DatasetError(f"none of the {len(answers)} answers is of an image in {folder / TO_LABEL}")
    answered = np.array([key in label_of for key in pool.keys], dtype=bool)
    persons = [
        _said(pool.examples[row], label_of[pool.keys[row]], PERSON) for row in np.flatnonzero(answered)
    ]
    rest, spread, learner = np.flatnonzero(~answered), [], ""
    keys = [*labelled.keys, *(pool.keys[row] for row in np.flatnonzero(answered))]
    if len(rest):
        known = np.concatenate([labelled.vectors, pool.vectors[answered]])
        _, y = encode([*labelled.examples, *persons], classes)
        labels, learner = label_rest(known, y, len(classes), pool.vectors[rest], keys)
        spread = [
            _said(pool.examples[row], classes[label], SPREAD) for row, label in zip(rest, labels, strict=True)
        ]
    first = [_said(one, one.label, BEFORE) for one in labelled.examples]
    given = dict(zip([*keys, *(pool.keys[row] for row in rest)], [*first, *persons, *spread], strict=True))
    examples, keys = list(given.values()), list(given)
    if twins := _read_part(folder, COPIES):
        found = embed(twins)
        for key, twin in zip(found.keys, found.examples, strict=True):
            examples.append(_said(twin, given[key].label, given[key].more["source"]))
            keys.append(key)
    return Finished(examples, keys, learner)


def _said(example: Example, label: str | list[str] | None, source: str) -> Example:
    return replace(example, label=label, more={**example.task, "source": source})


def read_backbone(folder: Path) -> str:
    """Return the embedder whose vectors the folder was made with.

    Raises
    ------
    DatasetError
        If the folder is none of `write_propagated`.
    """
    return str(_read_report(folder, "backbone"))


def _read_report(folder: Path, key: str) -> Any:
    try:
        return json.loads((folder / REPORT).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder} was not written by lineup propagate: {error}") from error


def _read_part(folder: Path, name: str) -> list[Example]:
    path = folder / name
    return read_dataset(path).examples if path.stat().st_size else []


def _row(pool: Embedded, found: Propagated, classes: list[str], row: int, label: str | None) -> Example:
    more = {
        **pool.examples[row].task,
        "suggestion": classes[found.labels[row]],
        "confidence": round(float(found.confidence[row]), 4),
        "margin": round(float(found.margin[row]), 4),
        "second_opinion": classes[found.second[row]],
    }
    return replace(pool.examples[row], label=label, more=more)


def _absolute(example: Example) -> Example:
    return replace(example, image=str(example.path.absolute()), path=None) if example.path else example
