"""What the images of a project say for themselves, labelled or not: faults, outliers, near-duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.embedding import Embedded
from ml.quality import UNREADABLE, judge_images
from ml.survey import Survey, make_survey
from ml.suspicion.reasons import choose_reasons

OFF = "off"


@dataclass(frozen=True)
class Looks:
    """One entry a task, in the order of the targets.

    Attributes
    ----------
    image : list of str, length n
        What is wrong with the image, or ``''``.
    outlier : ndarray of float, shape (n,)
        Scores of the outlier method, in [0, 1]; zero without a vector.
    groups : ndarray of int, shape (n,)
        Tasks with the same number are near-duplicates.
    """

    image: list[str]
    outlier: np.ndarray
    groups: np.ndarray

    def reasons(self, agreement: np.ndarray) -> list[str]:
        """Return one reason a task that needs no model, or ``''``.

        Parameters
        ----------
        agreement : ndarray of float, shape (n,)
            As in `backend.targets.Targets`.
        """
        none = np.zeros(len(self.image), dtype=bool)
        return choose_reasons(
            none,
            none,
            np.full(len(none), -1),
            agreement=agreement,
            outlier=self.outlier,
            image=self.image,
            groups=self.groups,
        )


def look(embedded: Embedded, outliers: str, before: Survey | None) -> tuple[Looks, Survey]:
    """Look at all images of a project.

    Parameters
    ----------
    outliers : str
        One of `ml.outliers.OUTLIERS`, or ``off``.
    before : Survey or None
        Of an earlier refresh with the same embedder: with the same images nothing is computed.

    Returns
    -------
    Looks
    Survey
        For the next refresh.
    """
    ok, n = embedded.ok, len(embedded.keys)
    rows = np.flatnonzero(ok)
    keys = [key for key in embedded.keys if key is not None]
    method = None if outliers == OFF else outliers
    if before is not None and before.covers(keys, method):
        survey = before
    else:
        survey = make_survey(
            keys, embedded.vectors if ok.all() else embedded.vectors[rows], method, warm=before
        )
    outlier, groups = np.zeros(n), np.arange(n, 2 * n)
    outlier[rows] = survey.outlier
    groups[rows] = survey.groups
    return Looks(_faults(embedded), outlier, groups), survey


def _faults(embedded: Embedded) -> list[str]:
    faults = [UNREADABLE if error else "" for error in embedded.errors]
    measured = np.flatnonzero(np.isfinite(embedded.measures).all(axis=1) & embedded.ok)
    for row, fault in zip(measured.tolist(), judge_images(embedded.measures[measured]), strict=True):
        faults[row] = fault
    return faults
