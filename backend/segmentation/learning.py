"""Learn a head on the features of pixels from masks, and say what it makes of every task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from backend.courses.base import Before
from backend.labelstudio.fetch import ImageFetchError
from backend.labelstudio.predictions import Result
from backend.registry import Version
from backend.segmentation.desk import Desk
from backend.segmentation.drawing import draw, in_words
from backend.segmentation.evidence import find, first_labels, summarise
from backend.segmentation.network import Drawn
from ml.heads.logistic import NotEnoughClasses
from ml.images import ImageError
from ml.segmentation.probe import PixelProbe, PixelSummary, ProbeFit, fit_probe
from ml.segmentation.question import question
from ml.segmentation.sizes import shrink_mask
from ml.suspicion.masks import MaskFindings, Part

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmented:
    """What was learned.

    Attributes
    ----------
    desk : Desk
    rows : ndarray of int, shape (m,)
        Labelled tasks that were learned from, ascending.
    fit : ProbeFit or None
        The head, and those that have not seen one image in five each.
    head : PixelProbe or None
        What predicts the unlabelled tasks.
    source : str
        Digest of what ``head`` was learned from.
    findings : list of MaskFindings
        Of each of ``rows``.
    changed : ndarray of int, shape (m,)
        Whether each mask is another one than at first: 1, 0, or -1 where that is not known.
    before : list of MaskFindings or None
        Of the first mask, where it was another one.
    accuracy : float or None
        Mean Dice of masks and predictions out of sample.
    why_not : str or None
        Why there is no head.
    suspected : dict
        What `point_out` was told.
    """

    desk: Desk
    rows: np.ndarray
    fit: ProbeFit | None = None
    head: PixelProbe | None = None
    source: str = ""
    findings: list[MaskFindings] = field(default_factory=list)
    changed: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    before: list[MaskFindings | None] = field(default_factory=list)
    accuracy: float | None = None
    why_not: str | None = None
    suspected: dict[int, tuple[Part, float]] = field(default_factory=dict)

    def served_by(self, version: Version) -> Segmented:
        """Return the same with the unlabelled tasks predicted by a published version."""
        if self.fit is None:
            return self
        return replace(self, head=PixelProbe.from_arrays(version.arrays), source=version.manifest["digest"])

    @cached_property
    def summaries(self) -> dict[int, PixelSummary]:
        """What the head predicts in short, by row: of all tasks with features."""
        assert self.head is not None
        rows = self.desk.with_features(np.flatnonzero(self.desk.lesson.embedded.ok))
        return dict(zip(rows.tolist(), summarise(self.desk, rows, self.head, self.source), strict=True))

    def question(self, rows: np.ndarray) -> np.ndarray | None:
        """Return how sure the head is of its objects as a question of yes or no, shape (m, 2); None without a head."""
        if self.head is None:
            return None
        found = [self.summaries.get(row) for row in rows.tolist()]
        return question(np.array([one.margin if one else np.nan for one in found]))

    def answers(self, labels: np.ndarray) -> np.ndarray | None:
        """Return None: a mask is no answer to the question."""
        return None

    def guesses(self, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Return the classes predicted for tasks by their share of the image, and the confidence in [0, 1]."""
        found = [self.summaries.get(row) for row in rows.tolist()]
        names = self.desk.kind.classes
        texts = [in_words(names, one.shares.tolist()) if one else "" for one in found]
        return texts, np.array([one.confidence if one else 0.0 for one in found])

    def results(self, rows: np.ndarray) -> Sequence[Result | Callable[[], Result]]:
        """Return what makes the prediction of each task when it is sent."""
        return [partial(self._result, row) if self.fit is not None else [] for row in rows.tolist()]

    def point_out(self, row: int, part: Part, suspicion: float) -> None:
        """Have the prediction of a labelled task show where the mask is suspected to be wrong, and how much."""
        self.suspected[row] = part, suspicion

    def _result(self, row: int) -> Result:
        """Return a mask as a Label Studio result; empty where the image's features were damaged since."""
        assert self.fit is not None
        assert self.head is not None
        pyramid = self.desk.pyramids.get(self.desk.key(row))
        if pyramid is None:
            return []
        number = int(np.searchsorted(self.rows, row))
        if number == len(self.rows) or self.rows[number] != row:
            drawn = self._painted(row) or Drawn.of(self.head.probabilities(pyramid), pyramid.size)
            return draw(self.desk.kind, drawn)
        probs = self.fit.oos_probabilities(number, pyramid)
        result = draw(self.desk.kind, Drawn.of(probs, pyramid.size))
        if row in self.suspected:
            part, suspicion = self.suspected[row]
            region = shrink_mask(self.findings[number].region(part), pyramid.size)
            result += self.desk.kind.suspect_region(region, part.reason, suspicion)
        return result

    def _painted(self, row: int) -> Drawn | None:
        """Return what the project's own network draws; None without one, or where the image cannot be had now."""
        desk = self.desk
        uri, task_id = desk.lesson.targets.uris[row], int(desk.lesson.targets.ids[row])
        if desk.painter is None or uri is None:
            return None
        try:
            return desk.painter.draw(desk.lesson.project.id, (task_id, uri), desk.key(row))
        except (ImageFetchError, ImageError) as error:
            log.warning(
                "task %d: predicted by the probe instead of the project's network: %s", task_id, error
            )
            return None


def learn(desk: Desk, digest: str, before: Before | None) -> Segmented:
    """Fit the head of a project; with nothing new, the one before.

    Parameters
    ----------
    digest : str
        Of all there is to learn from.
    before : Before or None
        An earlier fit on the same features and classes, to start from.
    """
    rows = desk.labelled()
    keys = [desk.key(row) for row in rows.tolist()]
    n_classes = len(desk.kind.mask_classes.names)
    if before is not None and before.digest == digest and before.fit.is_of(keys):
        fit = before.fit
    else:
        try:
            fit = fit_probe(
                keys,
                lambda number: desk.pyramid(int(rows[number])),
                lambda number: desk.mask(int(rows[number])),
                n_classes,
                ignore=desk.kind.mask_classes.ignore,
                groups=desk.lesson.looks.groups[rows],
                warm=before.fit if before else None,
                progress=lambda done, total: desk.lesson.scene.progress("learn", done, total),
            )
        except NotEnoughClasses as error:
            return Segmented(desk, rows, why_not=str(error))
    firsts = first_labels(desk, rows)
    findings, before_change = find(desk, rows, firsts, fit, digest)
    changed = np.array(
        [
            -1 if first is None else first != desk.label(row)
            for row, first in zip(rows.tolist(), firsts, strict=True)
        ],
        dtype=np.int64,
    )
    dice = np.array([one.dice for one in findings])
    accuracy = float(np.nanmean(dice)) if np.isfinite(dice).any() else None
    return Segmented(desk, rows, fit, fit.head, digest, findings, changed, before_change, accuracy)
