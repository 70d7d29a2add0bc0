"""What a head makes of single images, as short lines that are remembered: nothing of a pixel is kept.

A new head says something else of every image and mask, and asking it of all of them would take minutes in a large
project. So a refresh asks of what is new, and for some seconds of those it has not asked about for the longest time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backend.labelstudio.mask_label import MaskLabel
from backend.segmentation.desk import Desk
from ml.embedders.stream import in_order, worker_threads
from ml.embedders.threads import workers_within
from ml.segmentation.probe import PixelProbe, PixelSummary, ProbeFit
from ml.segmentation.sizes import SIDE
from ml.suspicion.masks import MaskFindings, judge_mask

# for which a refresh asks about masks, and then about images, besides what is new (a mask takes a core 0.1 to 0.5 s, an
# image 5 ms), and how many of them at most
SECONDS = 4.0
MASKS, IMAGES = 400, 3000
_STORE_AFTER = 15.0
_FINDINGS, _SUMMARIES = "findings", "summaries"
_REPORT_EVERY = 8
_DIGITS = 5
# what a thread holds at most: of an image's probabilities judging makes six copies, and a summary has its features
_COPIES = 6
_SUMMARY_BYTES = 20_000_000


def find(
    desk: Desk, rows: np.ndarray, firsts: Sequence[MaskLabel | None], fit: ProbeFit, source: str
) -> tuple[list[MaskFindings], list[MaskFindings | None]]:
    """Judge masks by the heads that have not seen them.

    Parameters
    ----------
    rows : ndarray of int, shape (m,)
        What was learned from, in the order of the fit.
    firsts : sequence of MaskLabel or None, length m
        What the label of each was at first.
    source : str
        Digest of what was learned from.

    Returns
    -------
    findings : list of MaskFindings, length m
        Of an earlier fit where there are very many.
    before : list of MaskFindings or None, length m
        Of the first label, where it was another one and has been judged.
    """

    def judge(number: int) -> dict[str, Any]:
        row = int(rows[number])
        probs = fit.oos_probabilities(number, desk.pyramid(row))
        return judge_mask(desk.mask(row), probs, desk.kind.mask_classes).to_json()

    keys = [f"{_asked_by(desk)}-{desk.label(row).digest}-{desk.key(row)}" for row in rows.tolist()]
    earlier = [
        f"{_asked_by(desk)}-{first.digest}-{desk.key(row)}"
        if first is not None and first != desk.label(row)
        else None
        for row, first in zip(rows.tolist(), firsts, strict=True)
    ]
    kept = {key for key in earlier if key is not None}
    holds = _COPIES * len(desk.kind.mask_classes.names) * SIDE * SIDE * np.dtype(np.float32).itemsize
    found = _ask(desk, _FINDINGS, "judge", keys, source, judge, again=MASKS, holds=holds, kept=kept)
    parsed = {key: MaskFindings.from_json(value) for key, value in found.items()}
    return [parsed[key] for key in keys], [parsed.get(key) if key else None for key in earlier]


def summarise(desk: Desk, rows: np.ndarray, head: PixelProbe, source: str) -> list[PixelSummary]:
    """Say in short what a head predicts for images with features.

    Parameters
    ----------
    source : str
        Digest of what the head was learned from.
    """

    def summary(number: int) -> dict[str, Any]:
        made = asdict(head.summary(desk.pyramid(int(rows[number]))))
        return {**made, "shares": np.round(made["shares"], _DIGITS).tolist()}

    keys = [f"{_asked_by(desk)}-{desk.key(row)}" for row in rows.tolist()]
    found = _ask(desk, _SUMMARIES, "predict", keys, source, summary, again=IMAGES, holds=_SUMMARY_BYTES)
    return [
        PixelSummary(**{**found[key], "shares": np.array(found[key]["shares"], dtype=np.float32)})
        for key in keys
    ]


def _asked_by(desk: Desk) -> str:
    """Return what begins every key: answers are by class, and of features, and both may be others next time."""
    return f"{desk.kind.digest[:16]}-{desk.pyramids.fingerprint}"


def _ask(
    desk: Desk,
    name: str,
    step: str,
    keys: Sequence[str],
    source: str,
    make: Callable[[int], Any],
    *,
    again: int,
    holds: int,
    kept: Collection[str] = (),
) -> dict[str, Any]:
    """Return a value for each key, of this source or where there are too many an earlier one, and what is kept.

    ``holds`` is how many bytes making one takes.
    """
    known = desk.memory.recall(name)
    numbers: dict[str, int] = {}
    for number, key in enumerate(keys):
        numbers.setdefault(key, number)
    old = [key for key, found in known.items() if key in numbers and found.source != source]
    new = [key for key in numbers if key not in known]
    total = len(new) + len(old[:again])
    workers = workers_within(holds)

    def todo() -> Iterator[str]:
        yield from new
        deadline = time.monotonic() + SECONDS
        for key in old[:again]:
            if time.monotonic() > deadline:
                return
            yield key

    def work(key: str) -> list[tuple[str, Any]]:
        return [(key, make(numbers[key]))]

    fresh: dict[str, Any] = {}
    unstored: dict[str, Any] = {}
    stored_at = time.monotonic()
    try:
        with worker_threads(workers, name) as pool:
            for key, value in in_order(pool, work, todo(), 2 * workers):
                if len(fresh) % _REPORT_EVERY == 0:
                    desk.lesson.scene.progress(step, len(fresh), total)
                fresh[key] = unstored[key] = value
                if time.monotonic() - stored_at > _STORE_AFTER:
                    desk.memory.keep(name, source, unstored)
                    unstored, stored_at = {}, time.monotonic()
    finally:  # what ends it early costs only what was not done
        desk.memory.keep(name, source, unstored)
    wanted = numbers.keys() | set(kept)
    desk.memory.keep_only(name, wanted)
    return {key: found.value for key, found in known.items() if key in wanted} | fresh


def first_labels(desk: Desk, rows: np.ndarray) -> list[MaskLabel | None]:
    """Return what the label of each task was when it was first seen; None where that is not known any more."""
    histories = desk.lesson.project.store.histories()
    ids = desk.lesson.targets.ids[rows].tolist()
    return [desk.kind.parse(histories[task_id].given) if task_id in histories else None for task_id in ids]
