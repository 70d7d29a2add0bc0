"""Which of a task's annotations counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.reader import parse_time
from backend.snapshot import AnnotationRecord, TaskRecord

# an import stores both times of an annotation within a few milliseconds
UNTOUCHED = timedelta(seconds=0.1)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A task's label: class index, who gave it, and the annotation that decided.

    ``agreement`` is the share of the other annotators who gave the same label; NaN where there is nobody else, and
    where a reviewer has settled it.
    """

    label: int
    annotator: int | None
    annotation: AnnotationRecord
    agreement: float


def resolve(task: TaskRecord, kind: ChoicesKind, reviewers: Collection[str] = ()) -> Resolved | None:
    """Return the label of a task, or None where it has none.

    Skipped annotations and those without a known class do not count. The newest by a reviewer, or marked as
    ground truth by a person, decides; without one the majority does, and in a tie the newest of the tied.

    Parameters
    ----------
    reviewers : collection of str
        User ids whose annotations overrule those of others.
    """
    votes = [
        (label, annotation)
        for annotation in task.annotations
        if not annotation.was_cancelled and (label := kind.target(annotation.result, task.id)) is not None
    ]
    if not votes:
        return None
    overruling = [
        (label, a)
        for label, a in votes
        if marked_ground_truth(a) or (a.completed_by is not None and str(a.completed_by) in reviewers)
    ]
    if overruling:
        candidates = overruling
    else:
        counts = Counter(label for label, _ in votes)
        most = max(counts.values())
        candidates = [(label, a) for label, a in votes if counts[label] == most]
    label, deciding = max(candidates, key=lambda vote: (parse_time(vote[1].updated_at), vote[1].id))
    agreement = math.nan if overruling else _agreement(votes, label, deciding)
    return Resolved(label, deciding.completed_by, deciding, agreement)


def _agreement(votes: list[tuple[int, AnnotationRecord]], label: int, deciding: AnnotationRecord) -> float:
    """Share of the other annotators' newest annotations with this label: a second one of the same person corrects."""
    newest: dict[int | None, int] = {}
    for other, annotation in sorted(votes, key=lambda vote: (parse_time(vote[1].updated_at), vote[1].id)):
        if annotation.completed_by != deciding.completed_by:
            newest[annotation.completed_by] = other
    return sum(other == label for other in newest.values()) / len(newest) if newest else math.nan


def marked_ground_truth(annotation: AnnotationRecord) -> bool:
    """Tell whether a person made the annotation ground truth.

    Label Studio marks every imported annotation as ground truth unless the file says otherwise: one that was never
    touched since says nothing, and a reviewer's own annotation must be able to overrule it.
    """
    touched = parse_time(annotation.updated_at) - parse_time(annotation.created_at) > UNTOUCHED
    return annotation.ground_truth and touched
