"""Judge the labels of a project: how probably each is wrong, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend.embedding import Embedded
from backend.labelstudio.kind import Kind
from backend.learning import Learned
from backend.snapshot import History
from backend.targets import Targets
from ml.suspicion import Judgement, MultiJudgement, make_judge
from ml.suspicion.reasons import DUPLICATE


def judge_labels(
    targets: Targets,
    embedded: Embedded,
    learned: Learned,
    kind: Kind,
    reviewed: np.ndarray,
    histories: Mapping[int, History],
) -> Judgement | MultiJudgement | None:
    """Return the judgement of the labelled tasks with a vector, in ascending order of rows; None without a head.

    Parameters
    ----------
    reviewed : ndarray of bool, shape (n,)
        Labels a person has checked since they were suspect: what the check found re-calibrates the suspicion.
    """
    if learned.fit is None or learned.probs is None:
        return None
    rows = np.flatnonzero(targets.labelled & embedded.ok)
    before, known = _given(targets, rows, kind, histories)
    judgement: Judgement | MultiJudgement = make_judge(kind.name)(
        targets.labels[rows],
        learned.probs[rows],
        keys=[str(embedded.keys[row]) for row in rows.tolist()],
        reviewed=reviewed[rows] & known,
        before=before,
        **learned.fit.evidence(),
    )
    return replace(judgement, reason=_with_twins(judgement, targets.ids[rows]))


def _given(
    targets: Targets, rows: np.ndarray, kind: Kind, histories: Mapping[int, History]
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as they were when first seen, and a mask of those that are known and of classes there still are."""
    before, known = kind.blank(len(rows)), np.zeros(len(rows), dtype=bool)
    for number, task_id in enumerate(targets.ids[rows].tolist()):
        history = histories.get(task_id)
        label = kind.parse(history.given) if history else None
        if label is not None:
            before[number], known[number] = label, True
    return before, known


def _with_twins(judgement: Judgement | MultiJudgement, ids: np.ndarray) -> list[str]:
    """Name the other task in the reason of a duplicate that is labelled differently."""
    return [
        f"{reason}: task {ids[twin]}" if reason == DUPLICATE and twin >= 0 else reason
        for reason, twin in zip(judgement.reason, judgement.twin.tolist(), strict=True)
    ]
