"""Which of a task's annotations counts."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from backend.labelstudio.kind import Kind, Label
from backend.labelstudio.reader import parse_time
from backend.snapshot import AnnotationRecord, TaskRecord

# an import stores both times of an annotation within a few milliseconds
UNTOUCHED = timedelta(seconds=0.1)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A task's label, who gave it, and the annotation that decided.

    ``agreement`` is the share of the other annotators who gave the same label; NaN where there is nobody else, where
    a reviewer has settled it, and for masks: no two people draw the same one.
    """

    label: Label
    annotator: int | None
    annotation: AnnotationRecord
    agreement: float


def resolve(task: TaskRecord, kind: Kind, reviewers: Collection[str] = ()) -> Resolved | None:
    """Return the label of a task, or None where it has none.

    Skipped annotations and those whose label the kind does not know do not count. The newest by a reviewer, or
    marked as ground truth by a person, decides; without one the kind's consensus does: the majority of classes, or
    of votes on each class of a set, and in a tie the newest. It is said to be given by the newest of the annotations
    that come closest to it.

    Parameters
    ----------
    reviewers : collection of str
        User ids whose annotations overrule those of others.
    """
    votes = [
        (label, annotation)
        for annotation in sorted(task.annotations, key=lambda a: (parse_time(a.updated_at), a.id))
        if not annotation.was_cancelled and (label := kind.target(annotation.result, task.id)) is not None
    ]
    if not votes:
        return None
    overruling = [
        vote
        for vote in votes
        if marked_ground_truth(vote[1])
        or (vote[1].completed_by is not None and str(vote[1].completed_by) in reviewers)
    ]
    if overruling or len(votes) == 1:
        label, deciding = (overruling or votes)[-1]
    else:
        label = kind.consensus([given for given, _ in votes])
        fewest = min(_differences(given, label) for given, _ in votes)
        deciding = [a for given, a in votes if _differences(given, label) == fewest][-1]
    agreement = math.nan if overruling or kind.graded else _agreement(votes, label, deciding)
    return Resolved(label, deciding.completed_by, deciding, agreement)


def _agreement(
    votes: list[tuple[Label, AnnotationRecord]], label: Label, deciding: AnnotationRecord
) -> float:
    """Share of the other annotators' newest annotations with this label: a second one of the same person corrects."""
    newest: dict[int | None, Label] = {}
    for other, annotation in votes:
        if annotation.completed_by != deciding.completed_by:
            newest[annotation.completed_by] = other
    return sum(other == label for other in newest.values()) / len(newest) if newest else math.nan


def _differences(one: Label, other: Label) -> int:
    """In how many classes two labels differ."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return sum(a != b for a, b in zip(one, other, strict=True))
    return int(one != other)


def marked_ground_truth(annotation: AnnotationRecord) -> bool:
    """Tell whether a person made the annotation ground truth.

    Label Studio marks every imported annotation as ground truth unless the file says otherwise: one that was never
    touched since says nothing, and a reviewer's own annotation must be able to overrule it.
    """
    touched = parse_time(annotation.updated_at) - parse_time(annotation.created_at) > UNTOUCHED
    return annotation.ground_truth and touched
