"""From tasks to arrays: which task has which label, by whom, and which are still to be labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from backend.labelstudio.kind import Kind
from backend.labelstudio.targets import resolve
from backend.snapshot import History, Snapshot, TaskRecord


@dataclass(frozen=True)
class Targets:
    """A snapshot as arrays; row i of every array is task ``ids[i]``.

    Attributes
    ----------
    ids : ndarray of int, shape (n,)
        Task ids, ascending.
    uris : list of str or None, length n
        Image URI of each task; None where the task has no image.
    labels : ndarray of int, shape (n,) or (n, K), or of MaskLabel, shape (n,)
        Class index in the order of the label config, 1 for each class that holds and 0 for the others, or a mask;
        -1 without a label.
    labelled : ndarray of bool, shape (n,)
        Which tasks have a label: the empty set is one.
    annotators : list of int or None, length n
        Who gave the deciding annotation.
    agreement : ndarray of float, shape (n,)
        Share of the other annotators who gave the same label; NaN where there is nobody else to agree, and of masks.
    unfinished : ndarray of bool, shape (n,)
        True where Label Studio still wants annotations.
    touched : ndarray of bool, shape (n,)
        True where somebody has annotated or skipped: Label Studio does not serve the task to that person again.
    states : list of str, length n
        A digest of the task's annotations; it changes whenever a person touches one.
    """

    ids: np.ndarray
    uris: list[str | None]
    labels: np.ndarray
    labelled: np.ndarray
    annotators: list[int | None]
    agreement: np.ndarray
    unfinished: np.ndarray
    touched: np.ndarray
    states: list[str]

    def digest(self, kind: Kind, fingerprint: str, keys: Sequence[str | None]) -> str:
        """Return a digest of what a head learns from: contents, labels, classes and embedder.

        Parameters
        ----------
        keys : sequence of str or None, length n
            Content digest of each image; None where it cannot be used.
        """
        sha = hashlib.sha256(f"{kind.digest}|{fingerprint}".encode())
        for row in np.flatnonzero(self.labelled):
            if keys[row] is not None:
                sha.update(f"|{keys[row]}:{np.asarray(self.labels[row]).tolist()}".encode())
        return sha.hexdigest()


def build_targets(snapshot: Snapshot, kind: Kind, reviewers: Collection[str]) -> Targets:
    """Turn a snapshot into arrays."""
    tasks = [snapshot.tasks[task_id] for task_id in sorted(snapshot.tasks)]
    labels, labelled = kind.blank(len(tasks)), np.zeros(len(tasks), dtype=bool)
    annotators: list[int | None] = [None] * len(tasks)
    agreement = np.full(len(tasks), np.nan)
    for row, task in enumerate(tasks):
        resolved = resolve(task, kind, reviewers)
        if resolved is not None:
            labels[row], labelled[row] = resolved.label, True
            annotators[row] = resolved.annotator
            agreement[row] = resolved.agreement
    return Targets(
        ids=np.array([task.id for task in tasks], dtype=np.int64),
        uris=[kind.image_uri(task.data) for task in tasks],
        labels=labels,
        labelled=labelled,
        annotators=annotators,
        agreement=agreement,
        unfinished=np.array([not task.is_labeled for task in tasks], dtype=bool),
        touched=np.array([bool(task.annotations) for task in tasks], dtype=bool),
        states=[annotation_state(task) for task in tasks],
    )


def annotation_state(task: TaskRecord) -> str:
    """Return a digest of a task's annotations, skips aside."""
    parts = sorted(f"{a.id}:{a.updated_at}:{a.ground_truth}" for a in task.annotations if not a.was_cancelled)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def first_labels(targets: Targets, kind: Kind, histories: dict[int, History]) -> list[History]:
    """Return histories for tasks that are seen with a label for the first time."""
    return [
        History(int(targets.ids[row]), kind.text(targets.labels[row]), targets.annotators[row])
        for row in np.flatnonzero(targets.labelled)
        if int(targets.ids[row]) not in histories
    ]


def reviewed(targets: Targets, histories: dict[int, History]) -> np.ndarray:
    """Tell which labelled tasks a person has touched since they were shown as suspect.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    mask = np.zeros(len(targets.ids), dtype=bool)
    for row, task_id in enumerate(targets.ids.tolist()):
        history = histories.get(task_id)
        if history and history.suspected_state and targets.labelled[row]:
            mask[row] = history.suspected_state != targets.states[row]
    return mask
