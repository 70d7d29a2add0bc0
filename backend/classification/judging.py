"""Judge the labels of a project: how probably each is wrong, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backend.classification.learning import Classified
from backend.courses.base import Verdict
from backend.courses.twins import name_twins
from backend.embedding import Embedded
from backend.labelstudio.kind import Kind
from backend.looks import Looks
from backend.settings import Settings
from backend.snapshot import History
from backend.targets import Targets
from ml.suspicion import Judgement, make_judge
from ml.suspicion.scores import DEFAULT


def judge_labels(
    targets: Targets,
    embedded: Embedded,
    learned: Classified,
    kind: Kind,
    reviewed: np.ndarray,
    histories: Mapping[int, History],
    looks: Looks,
    settings: Settings,
) -> Judgement | None:
    """Return the judgement of the labelled tasks with a vector, in ascending order of rows; None without a head.

    Parameters
    ----------
    reviewed : ndarray of bool, shape (n,)
        Labels a person has checked since they were suspect: what the check found re-calibrates the suspicion.
    """
    if learned.fit is None or learned.probs is None:
        return None
    rows = np.flatnonzero(targets.labelled & embedded.ok)
    judgement: Judgement = make_judge(kind.name)(
        targets.labels[rows],
        learned.probs[rows],
        keys=[str(embedded.keys[row]) for row in rows.tolist()],
        reviewed=reviewed[rows],
        before=_given(targets, rows, kind, histories),
        method=settings.suspicion_score or DEFAULT,
        filter_by=settings.suspicion_filter or None,
        precision=settings.review_precision,
        agreement=targets.agreement[rows],
        outlier=looks.outlier[rows],
        image=[looks.image[row] for row in rows.tolist()],
        **learned.fit.evidence(),
    )
    return replace(judgement, reason=name_twins(judgement.reason, judgement.twin, targets.ids[rows]))


def verdict(judgement: Judgement, targets: Targets, embedded: Embedded, kind: Kind) -> Verdict:
    """Return a judgement of `judge_labels` in words."""
    return Verdict(
        np.flatnonzero(targets.labelled & embedded.ok),
        judgement.suspicion,
        [kind.text(label) for label in judgement.suggestion],
        judgement.confidence,
        judgement.reason,
        judgement.threshold,
        judgement.expected_wrong,
    )


def _given(targets: Targets, rows: np.ndarray, kind: Kind, histories: Mapping[int, History]) -> np.ndarray:
    """Labels as they were when first seen; -1 where that is not known or of a class there no longer is."""
    before = kind.blank(len(rows))
    for number, task_id in enumerate(targets.ids[rows].tolist()):
        history = histories.get(task_id)
        label = kind.parse(history.given) if history else None
        if label is not None:
            before[number] = label
    return before
