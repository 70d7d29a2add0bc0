"""Judge the masks of a project: how probably each is wrong, why, and where."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ml.suspicion.masks import MaskFindings, judge_masks

from backend.courses.base import Verdict
from backend.segmentation.desk import Desk
from backend.segmentation.drawing import in_words
from backend.segmentation.learning import Segmented
from backend.settings import Settings
from backend.snapshot import History, Judged


def judge(
    learned: Segmented, reviewed: np.ndarray, histories: Mapping[int, History], settings: Settings
) -> Verdict | None:
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
    judgement = judge_masks(
        learned.findings,
        reviewed=reviewed[rows],
        before_changed=_changed(desk, rows, histories),
        precision=settings.review_precision,
    )
    ids = desk.lesson.targets.ids[rows].tolist()
    desk.lesson.project.store.put_judged(
        {
            task_id: Judged(desk.kind.text(desk.label(row)), _measured(desk, found))
            for task_id, row, found in zip(ids, rows.tolist(), learned.findings, strict=True)
        }
    )
    for row, suspect, part in zip(rows.tolist(), judgement.suspect.tolist(), judgement.part, strict=True):
        if suspect and part is not None:
            learned.point_out(row, part)
    names = desk.kind.classes
    return Verdict(
        rows,
        judgement.suspicion,
        [in_words(names, found.shares) for found in learned.findings],
        np.array([found.confidence for found in learned.findings]),
        judgement.reason,
        judgement.threshold,
        judgement.expected_wrong,
    )


def _changed(desk: Desk, rows: np.ndarray, histories: Mapping[int, History]) -> np.ndarray:
    """Tell which masks are others than when they were first seen, bool of shape (m,)."""
    changed = np.zeros(len(rows), dtype=bool)
    for number, row in enumerate(rows.tolist()):
        history = histories.get(int(desk.lesson.targets.ids[row]))
        first = desk.kind.parse(history.given) if history else None
        changed[number] = first is not None and first != desk.label(row)
    return changed


def _measured(desk: Desk, found: MaskFindings) -> dict[str, object]:
    by_class = {
        name: value
        for name, value in zip(desk.kind.classes, found.class_dice, strict=True)
        if not np.isnan(value)
    }
    return {"dice": None if np.isnan(found.dice) else found.dice, "dice_by_class": by_class}
