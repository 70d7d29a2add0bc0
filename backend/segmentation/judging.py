"""Judge the masks of a project: how probably each is wrong, why, and where."""

from __future__ import annotations

import numpy as np

from backend.courses.base import Verdict
from backend.courses.twins import name_twins
from backend.segmentation.desk import Desk
from backend.segmentation.drawing import in_words
from backend.segmentation.learning import Segmented
from backend.settings import Settings
from backend.snapshot import Judged
from ml.suspicion.masks import MaskFindings, judge_masks


def judge(learned: Segmented, reviewed: np.ndarray, settings: Settings) -> Verdict | None:
    """Return the verdict on the masks that were learned from; None without a head.

    What was found on each is put into the snapshot, for the export. The masks that are suspect are shown with the
    region that looks wrong.

    Parameters
    ----------
    reviewed : ndarray of bool, shape (n,)
        Masks a person has checked since they were suspect: what the check found re-calibrates the suspicion.
    """
    if learned.fit is None:
        return None
    desk, rows = learned.desk, learned.rows
    targets, looks = desk.lesson.targets, desk.lesson.looks
    judgement = judge_masks(
        learned.findings,
        keys=[desk.key(row) for row in rows.tolist()],
        folds=learned.fit.folds,
        groups=looks.groups[rows],
        precision=settings.review_precision,
        reviewed=reviewed[rows],
        before=learned.before,
        before_changed=learned.changed,
        agreement=targets.agreement[rows],
        outlier=looks.outlier[rows],
        image=[looks.image[row] for row in rows.tolist()],
    )
    desk.lesson.project.store.put_judged(
        {
            task_id: Judged(desk.kind.text(desk.label(row)), _measured(desk, found))
            for task_id, row, found in zip(
                targets.ids[rows].tolist(), rows.tolist(), learned.findings, strict=True
            )
        }
    )
    for number in np.flatnonzero(judgement.suspect).tolist():
        if (part := judgement.part[number]) is not None:
            learned.point_out(int(rows[number]), part, float(judgement.suspicion[number]))
    names = desk.kind.classes
    return Verdict(
        rows,
        judgement.suspicion,
        [in_words(names, found.shares) for found in learned.findings],
        np.array([found.confidence for found in learned.findings]),
        name_twins(judgement.reason, judgement.twin, targets.ids[rows]),
        judgement.threshold,
        judgement.expected_wrong,
    )


def _measured(desk: Desk, found: MaskFindings) -> dict[str, object]:
    by_class = {
        name: value
        for name, value in zip(desk.kind.classes, found.class_dice, strict=True)
        if not np.isnan(value)
    }
    return {"dice": None if np.isnan(found.dice) else found.dice, "dice_by_class": by_class}
