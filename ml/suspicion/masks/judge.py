"""Suspicion of masks: from what was found in each to the probability that it is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.suspicion.calibration import Calibration, recalibrate
from ml.suspicion.copies import find_copies, find_outvoted
from ml.suspicion.judgement import Judgement
from ml.suspicion.masks.copies import number_masks
from ml.suspicion.masks.findings import MaskFindings, Part
from ml.suspicion.masks.groups import TwoGroups
from ml.suspicion.masks.normal import Normal
from ml.suspicion.multilabel import find_unseen
from ml.suspicion.reasons import choose_reasons, find_twins
from ml.suspicion.suspects import choose_suspects
from ml.suspicion.threshold import expected_wrong

EVEN = 0.5


@dataclass(frozen=True)
class MaskJudgement(Judgement):
    """The same for masks.

    Attributes
    ----------
    suggestion : ndarray of float, shape (n, K)
        Shares of the predicted pixels by class.
    confidence : ndarray of float, shape (n,)
        Mean probability of the predicted classes.
    part : list of Part or None, length n
        The part of each mask that is most unusual: where to look. None where the prediction would change nothing.
    """

    part: list[Part | None]


def judge_masks(
    findings: Sequence[MaskFindings],
    *,
    keys: Sequence[str] | None = None,
    folds: np.ndarray | None = None,
    unseen: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    precision: float | None = None,
    reviewed: np.ndarray | None = None,
    before: Sequence[MaskFindings | None] | None = None,
    before_changed: np.ndarray | None = None,
    agreement: np.ndarray | None = None,
    outlier: np.ndarray | None = None,
    image: list[str] | None = None,
) -> MaskJudgement:
    """Judge masks by what was found in each.

    What is normal in the set (`ml.suspicion.masks.normal`) tells how unusual each mask is; two groups, right masks
    and wrong ones, make it a probability (`ml.suspicion.masks.groups`), corrected by masks that were reviewed.

    Parameters
    ----------
    findings : sequence of MaskFindings, length n
        Of `ml.suspicion.masks.judge_mask`, of the masks as they are.
    keys : sequence of str, length n, optional
        Content digests. Where the same image has masks that differ widely, those that most of its copies do not have
        (in a draw: the more unusual) are at least at 0.5.
    folds : ndarray of int, shape (n,), optional
        The folds that masks were predicted by. A mask with a class that no mask of another fold has cannot be
        judged: its suspicion stays below 0.5, and it is not suspect.
    unseen : ndarray of bool, shape (n,), optional
        Which masks cannot be judged for that reason, in place of ``folds``: where more masks were learned from than
        are judged, only they tell.
    groups, precision, agreement, outlier, image
        As in `ml.suspicion.choices.judge`.
    reviewed : ndarray of bool, shape (n,), optional
        Masks a person has checked: not suspect again.
    before : sequence of MaskFindings or None, length n, optional
        Of masks that the check changed, as they were before; None where that is not known.
    before_changed : ndarray of int, shape (n,), optional
        Whether the check changed each mask: 1, 0, or -1 where that is not known. Together with ``before`` it
        re-calibrates the suspicion.

    Raises
    ------
    ValueError
        If the precision is out of range, or findings are of different classes.
    """
    n = len(findings)
    if not n:
        none, rows = np.zeros(0), np.zeros(0, dtype=np.int64)
        return MaskJudgement(none, np.zeros((0, 0)), none, [], rows, 1.0, none > 0, 0.0, None, [])
    if len({len(found.shares) for found in findings}) > 1:
        raise ValueError("masks to be judged together have one list of classes")
    checked = np.zeros(n, dtype=bool) if reviewed is None else np.asarray(reviewed, dtype=bool)
    changed = np.full(n, -1) if before_changed is None else np.asarray(before_changed)
    earlier = {
        row: found
        for row, found in enumerate(before or ())
        if found is not None and checked[row] and changed[row] == 1
    }
    given = [earlier.get(row, found) for row, found in enumerate(findings)]
    normal = Normal.of(given)
    unusual, part = normal.score(given)
    # a mask in which nothing would change says that it is right, and nothing of how far right ones reach
    with_parts = np.array([one is not None for one in part])
    two = TwoGroups.fit(unusual[with_parts] if with_parts.any() else unusual)
    known = np.flatnonzero(checked & (changed == 0))
    known = np.union1d(known, np.fromiter(earlier, dtype=np.int64, count=len(earlier)))
    log_odds = two.log_odds(unusual)
    calibration = recalibrate(Calibration(1.0, 0.0), log_odds[known], changed[known] == 1)
    for row in earlier:
        unusual[row : row + 1], (part[row],) = normal.score([findings[row]])
    suspicion = calibration.probability(two.log_odds(unusual))
    if unseen is None and folds is not None:
        has = np.array([found.label_shares for found in findings]) > 0
        unseen = find_unseen(has, np.asarray(folds))
    if unseen is not None:
        suspicion[unseen] = np.minimum(suspicion[unseen], np.nextafter(EVEN, 0.0))
    twins = np.full(n, -1, dtype=np.int64)
    if keys is not None:
        copies = find_copies(keys)
        masks = number_masks(findings, copies)
        outvoted = find_outvoted(masks, -unusual, copies)
        suspicion[outvoted] = np.maximum(suspicion[outvoted], EVEN)
        twins = find_twins(masks, copies)
        groups = copies if groups is None else groups
    suspicion, threshold, suspect = choose_suspects(
        suspicion,
        checked=checked,
        found=int((checked & (changed == 1)).sum()),
        unseen=unseen,
        precision=precision,
        issues=None,
    )
    reason = choose_reasons(
        suspect,
        suspect,
        twins,
        unseen=unseen,
        agreement=agreement,
        outlier=outlier,
        image=image,
        groups=groups,
        model=["" if one is None else one.reason for one in part],
    )
    return MaskJudgement(
        suspicion=suspicion,
        suggestion=np.array([found.shares for found in findings]),
        confidence=np.array([found.confidence for found in findings]),
        reason=reason,
        twin=twins,
        threshold=threshold,
        suspect=suspect,
        expected_wrong=expected_wrong(suspicion[~checked]),
        calibration=calibration,
        part=part,
    )
