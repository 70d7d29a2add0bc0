"""From tasks of Label Studio's export to rows: what a label was, what it is now, how far to trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from backend.columns import CONFIDENCE, SUGGESTION, SUSPICION
from backend.labelstudio.kind import Kind, Named
from backend.labelstudio.targets import Resolved, resolve
from backend.settings import Settings
from backend.snapshot import AnnotationRecord, History, TaskRecord
from backend.targets import annotation_state
from ml.datasets import Example

Status = Literal["kept", "corrected", "suspect"]


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One labelled task. Labels are a class, or a list of classes where a task may have several.

    Attributes
    ----------
    image : str
        The image's URI as the task has it.
    label : str or list of str
        The final label.
    given : str or list of str
        The label Lineup first saw on the task.
    suspicion : float or None
        In [0, 1]; None where Lineup has not judged the label.
    suggestion : str, list of str or None
        What the model finds most probable; None where it has no opinion.
    confidence : float
        Its probability, in [0, 1]; of a list, that of its least certain class.
    status : str
        ``corrected``: a person changed the label after Lineup first saw it; ``suspect``: at or above the
        review threshold and nobody has looked since; else ``kept``.
    annotator : str
        E-mail address of who gave the label, else the user id, else empty.
    task : int
        Task id.
    """

    image: str
    label: Named
    given: Named
    suspicion: float | None
    suggestion: Named | None
    confidence: float
    status: Status
    annotator: str
    task: int

    def as_example(self) -> Example:
        """Return the row as `ml.datasets` writes it: image, label, and the other columns in their order."""
        columns = asdict(self)
        image, label = columns.pop("image"), columns.pop("label")
        return Example(image, label, None, f"task {self.task}", columns)


@dataclass(frozen=True, slots=True)
class Revision:
    """Rows after the wishes of who exports: how many were dropped, how many got their suggestion as label."""

    rows: list[ExportRow]
    dropped: int = 0
    applied: int = 0


def build_rows(
    tasks: Iterable[Mapping[str, Any]],
    kind: Kind,
    histories: Mapping[int, History],
    emails: Mapping[int, str],
    settings: Settings,
    threshold: float,
) -> list[ExportRow]:
    """Return a row for each labelled task, in the order of ``tasks``.

    Parameters
    ----------
    tasks : iterable of dict
        Tasks of Label Studio's JSON export.
    histories : mapping of task id to History
        What Lineup remembers of the labels.
    emails : mapping of user id to e-mail address
    threshold : float
        Suspicion from which a label is suspect.
    """
    rows = []
    for raw in tasks:
        task = as_record(raw)
        resolved = resolve(task, kind, settings.reviewers)
        if resolved is not None:
            rows.append(build_row(task, resolved, kind, histories.get(task.id), emails, settings, threshold))
    return rows


def build_row(
    task: TaskRecord,
    resolved: Resolved,
    kind: Kind,
    history: History | None,
    emails: Mapping[int, str],
    settings: Settings,
    threshold: float,
) -> ExportRow:
    """Return the row of a task with a label; parameters as in `build_rows`."""
    label = kind.text(resolved.label)
    given = history.given if history else label
    suggestion = task.data.get(settings.field_prefix + SUGGESTION)
    suspicion = _number(task.data.get(settings.field_prefix + SUSPICION))
    looked_at = bool(
        history and history.suspected_state and history.suspected_state != annotation_state(task)
    )
    status: Status = "kept"
    if label != given:
        status = "corrected"
    elif suspicion is not None and suspicion >= threshold and not looked_at:
        status = "suspect"
    by = resolved.annotator
    return ExportRow(
        image=kind.image_uri(task.data) or "",
        label=kind.named(label),
        given=kind.named(given),
        suspicion=suspicion,
        suggestion=kind.named(str(suggestion)) if suggestion else None,
        confidence=_number(task.data.get(settings.field_prefix + CONFIDENCE)) or 0.0,
        status=status,
        annotator="" if by is None else emails.get(by, str(by)),
        task=task.id,
    )


def revise(
    rows: Sequence[ExportRow],
    classes: Sequence[str],
    *,
    drop_suspects: bool = False,
    apply_suggestions: float | None = None,
) -> Revision:
    """Apply suggestions to suspects, then drop the suspects that remain.

    A suspect whose suggestion is applied keeps its status: no person has confirmed it.

    Parameters
    ----------
    classes : sequence of str
        The project's classes; a suggestion outside of them is left over from an older label config.
    apply_suggestions : float or None
        Least confidence, in [0, 1], at which a suspect's label becomes the suggestion.
    """
    kept, dropped, applied = [], 0, 0
    for row in rows:
        if row.status != "suspect":
            kept.append(row)
        elif (
            apply_suggestions is not None
            and row.suggestion is not None
            and class_names(row.suggestion) <= set(classes)
            and row.suggestion != row.label
            and row.confidence >= apply_suggestions
        ):
            kept.append(replace(row, label=row.suggestion))
            applied += 1
        elif drop_suspects:
            dropped += 1
        else:
            kept.append(row)
    return Revision(kept, dropped, applied)


def class_names(label: Named) -> set[str]:
    """Return the classes of a label."""
    return {label} if isinstance(label, str) else set(label)


def count_by_status(rows: Iterable[ExportRow]) -> dict[str, int]:
    """Return how many rows have each status."""
    return dict(Counter(row.status for row in rows))


def as_record(raw: Mapping[str, Any]) -> TaskRecord:
    """Return a task of Label Studio's JSON export as the rest of Lineup knows tasks."""
    annotations = tuple(_annotation(annotation) for annotation in raw["annotations"])
    return TaskRecord(
        id=raw["id"],
        data=raw["data"] if isinstance(raw["data"], dict) else {},
        is_labeled=bool(annotations),
        updated_at=raw.get("updated_at") or "",
        annotations=annotations,
    )


def _annotation(raw: Mapping[str, Any]) -> AnnotationRecord:
    by = raw["completed_by"]
    return AnnotationRecord(
        id=raw["id"],
        completed_by=by.get("id") if isinstance(by, dict) else by,
        ground_truth=bool(raw["ground_truth"]),
        was_cancelled=bool(raw["was_cancelled"]),
        created_at=raw["created_at"],
        updated_at=raw["updated_at"],
        result=raw["result"] or [],
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
