"""What a head makes of single images, as short lines that are remembered: nothing of a pixel is kept.

A new head says something else of every image and mask, and asking it of all of them would take minutes in a large project.
So a refresh asks of what is new, and of a number of those it has not asked about for the longest time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from backend.segmentation.desk import Desk
from ml.segmentation.metrics import confusion, mean_dice
from ml.segmentation.probe import PixelProbe, PixelSummary, ProbeFit
from ml.suspicion.masks import MaskFindings, judge_mask

# that a refresh asks about again, besides what is new
MASKS, IMAGES = 400, 3000
_FINDINGS, _SUMMARIES = "findings", "summaries"
_REPORT_EVERY = 8

T = TypeVar("T")


def find(desk: Desk, rows: np.ndarray, fit: ProbeFit, source: str) -> list[MaskFindings]:
    """Judge masks by the heads that have not seen them.

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        What was learned from, in the order of the fit.
    source : str
        Digest of what was learned from.

    Returns
    -------
    list of MaskFindings
        Of each of ``rows``; of an earlier fit where there are very many.
    """

    def judge(number: int) -> MaskFindings:
        row = int(rows[number])
        probs = fit.oos_probabilities(number, desk.pyramid(row))
        return judge_mask(desk.mask(row), probs, desk.kind.mask_classes)

    keys = [f"{desk.label(row).digest}-{desk.key(row)}" for row in rows.tolist()]
    return _ask(desk, _FINDINGS, "judge", keys, source, judge, MaskFindings.from_json, again=MASKS)


def summarise(desk: Desk, rows: np.ndarray, head: PixelProbe, source: str) -> list[PixelSummary]:
    """Say in short what a head predicts for images with features.

    Parameters
    ----------
    source : str
        Digest of what the head was learned from.
    """

    def summary(number: int) -> PixelSummary:
        return head.summary(desk.pyramid(int(rows[number])))

    keys = [desk.key(row) for row in rows.tolist()]
    return _ask(desk, _SUMMARIES, "predict", keys, source, summary, PixelSummary.from_json, again=IMAGES)


def _ask(
    desk: Desk,
    name: str,
    step: str,
    keys: Sequence[str],
    source: str,
    make: Callable[[int], Any],
    parse: Callable[[Mapping[str, Any]], T],
    *,
    again: int,
) -> list[T]:
    """Return a value for each key: of this source, or where there are too many, of an earlier one."""
    known = desk.memory.recall(name)
    numbers: dict[str, int] = {}
    for number, key in enumerate(keys):
        numbers.setdefault(key, number)
    new = [key for key in numbers if key not in known]
    old = [key for key, found in known.items() if key in numbers and found.source != source]
    todo = new + old[:again]
    values = {key: parse(found.value) for key, found in known.items() if key in numbers}
    fresh: dict[str, Any] = {}
    try:
        for count, key in enumerate(todo):
            if count % _REPORT_EVERY == 0:
                desk.lesson.scene.progress(step, count, len(todo))
            values[key] = make(numbers[key])
            fresh[key] = values[key].to_json()
    finally:
        desk.memory.keep(name, source, fresh)
    desk.memory.keep_only(name, numbers)
    return [values[key] for key in keys]
