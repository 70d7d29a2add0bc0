"""From judgements to the rows people see: suspicion on labelled tasks, priority on unfinished ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.columns import CONFIDENCE_STEP, Row, quantise, rank_priorities
from backend.courses.base import Learned, Verdict
from backend.embedding import Embedded
from backend.targets import Targets
from ml.acquisition.explore import arrange

SUSPICION_STEP = 0.01
STEADY = 0.03  # a list that people work through does not change its end for less


@dataclass(frozen=True)
class Lineup:
    """The outcome of one refresh.

    Attributes
    ----------
    rows : dict of task id to Row
    queue : list of int
        Unfinished tasks with an image, best first.
    threshold : float
        Suspicion from which a labelled task is suspect, on the grid of the suspicions written, in (0, 1].
    suspects : int
        Labelled tasks at or above it.
    """

    rows: dict[int, Row]
    queue: list[int]
    threshold: float
    suspects: int


def rank(
    targets: Targets,
    embedded: Embedded,
    learned: Learned,
    *,
    strategy: str,
    exploration: float,
    head: int,
    seed: int,
) -> list[int]:
    """Return the rows of unfinished tasks, best first.

    The ranking is deterministic for a seed; without a head it spreads over the images.
    """
    pool = np.flatnonzero(targets.unfinished & embedded.ok)
    labelled = np.flatnonzero(targets.labelled & embedded.ok)
    if not len(pool):
        return []
    arranged = arrange(
        strategy,
        probs=learned.question(pool),
        X=embedded.vectors[pool],
        labelled_X=embedded.vectors[labelled],
        labelled_y=learned.answers(targets.labels[labelled]),
        lottery=embedded.drawn[pool],
        exploration=exploration,
        head=head,
        rng=np.random.default_rng(seed),
    )
    ranked = pool[arranged.order]
    # whoever has annotated or skipped a task is not served it again: at the head it would leave them without an order
    touched = targets.touched[ranked]
    return [*ranked[~touched].tolist(), *ranked[touched].tolist()]


def line_up(
    targets: Targets,
    embedded: Embedded,
    learned: Learned,
    verdict: Verdict | None,
    ranked: list[int],
    reviewed: np.ndarray,
    *,
    noted: Sequence[str],
    head: int,
    threshold_before: float | None = None,
) -> Lineup:
    """Put together the row of every task.

    Parameters
    ----------
    verdict : Verdict or None
        Of the labels; None without a head.
    ranked : list of int
        Rows of unfinished tasks, best first.
    reviewed : ndarray of bool, shape (n,)
        Tasks whose label a person has confirmed or corrected since it was suspect: never suspect again.
    noted : sequence of str, length n
        Reasons that need no model, for tasks that the verdict gives none.
    threshold_before : float, optional
        The threshold shown so far.
    """
    n = len(targets.ids)
    priority = np.zeros(n)
    priority[ranked] = rank_priorities(len(ranked), head)
    suspicion, confidence = np.zeros(n), np.zeros(n)
    suggestion = np.full(n, "", dtype=object)
    reason = list(noted)
    if learned.fit is not None:
        seen = np.flatnonzero(embedded.ok)
        suggestion[seen], confidence[seen] = learned.guesses(seen)
    if verdict is not None:
        rows = verdict.rows
        suspicion[rows] = verdict.suspicion
        suggestion[rows] = verdict.suggestion
        confidence[rows] = verdict.confidence
        for row, why in zip(rows.tolist(), verdict.reason, strict=True):
            reason[row] = why or reason[row]
    suspicion[reviewed] = 0.0
    for row in np.flatnonzero(reviewed).tolist():
        reason[row] = "reviewed"
    suspicion = quantise(suspicion, SUSPICION_STEP)
    confidence = quantise(confidence, CONFIDENCE_STEP)
    rows_by_id = {
        int(targets.ids[row]): Row(
            priority=float(priority[row]),
            suspicion=float(suspicion[row]),
            suggestion=suggestion[row],
            confidence=float(confidence[row]),
            reason=reason[row],
        )
        for row in range(n)
    }
    threshold = _shown_threshold(verdict, suspicion, threshold_before)
    suspects = int(((suspicion >= threshold) & targets.labelled).sum())
    return Lineup(rows_by_id, [int(targets.ids[row]) for row in ranked], threshold, suspects)


def _shown_threshold(verdict: Verdict | None, suspicion: np.ndarray, before: float | None) -> float:
    """Round like the suspicions, but never to 0, where every task is; stay where that hides nothing."""
    if verdict is None:
        return 1.0
    threshold = max(float(quantise(np.array([verdict.threshold]), SUSPICION_STEP)[0]), SUSPICION_STEP)
    if before is None or abs(threshold - before) > STEADY:
        return threshold
    return before if (suspicion[suspicion >= threshold] >= before).all() else threshold
