"""What an audit found, image by image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ml.audit.anomalies import find_anomalies
from ml.audit.corrections import choose_corrections
from ml.audit.evidence import Evidence
from ml.audit.statistics import measure_rows
from ml.datasets.embedding import Embedded
from ml.datasets.encoding import encode
from ml.datasets.example import DatasetError, Example, Problem
from ml.quality import judge_images
from ml.survey import Survey, make_survey
from ml.suspicion import Judgement, make_judge
from ml.suspicion.reasons import DUPLICATE, TOO_FEW, choose_reasons

KEPT, CORRECTED, SUSPECT, UNLABELLED = STATUSES = ("kept", "corrected", "suspect", "unlabelled")
OUTLIERS = "knn_distance"


@dataclass(frozen=True)
class Findings:
    """One entry an image, in the order of the dataset.

    Attributes
    ----------
    examples : list of Example, length n
    classes : list of str, length K
    labels : ndarray of int64, shape (n,)
        The given class; -1 without one.
    suggestion : ndarray of int64, shape (n,)
        The most probable class.
    confidence : ndarray of float, shape (n,)
        Its probability, in [0, 1].
    suspicion : ndarray of float, shape (n,)
        Probability that the label is wrong, in [0, 1]; NaN without a label.
    right : ndarray of float, shape (n,)
        Probability that the label is wrong and the suggestion right, in [0, 1]; NaN without a label.
    status : list of str, length n
        One of `STATUSES`. A label may be corrected without being suspect: the two
        have thresholds of their own.
    reason : list of str, length n
        Why an image or its label is worth a look, or ``''``.
    statistics : dict of str to ndarray of float, shape (n,)
        Of `ml.audit.statistics.measure_rows`.
    anomalies : list of list of str, length n
        Of `ml.audit.anomalies.find_anomalies`.
    fault : list of str, length n
        What is wrong with the image itself, or ``''``.
    survey : Survey
        Near-duplicates and outliers.
    judgement : Judgement
        Of the labelled images alone.
    precision : float or None
        How sure each correction is at least; None: nothing was to be corrected.
    method : str
        How it was learned.
    problems : list of Problem
        What was left out.
    truth : ndarray of int64, shape (n,), or None
        The true class where it is known, else -1: to measure by, nothing is learned from it.
    """

    examples: list[Example]
    classes: list[str]
    labels: np.ndarray
    suggestion: np.ndarray
    confidence: np.ndarray
    suspicion: np.ndarray
    right: np.ndarray
    status: list[str]
    reason: list[str]
    statistics: dict[str, np.ndarray]
    anomalies: list[list[str]]
    fault: list[str]
    survey: Survey
    judgement: Judgement
    precision: float | None
    method: str
    problems: list[Problem]
    truth: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def labelled(self) -> np.ndarray:
        """Mask of shape (n,)."""
        given: np.ndarray = self.labels >= 0
        return given

    @property
    def suspects(self) -> np.ndarray:
        """Rows of labels that are suspect or corrected, the most suspicious first."""
        return self.with_status(SUSPECT, CORRECTED)

    def with_status(self, *wanted: str) -> np.ndarray:
        """Return the rows of labels with one of these statuses, the most suspicious first."""
        rows = np.flatnonzero([status in wanted for status in self.status])
        return rows[np.argsort(-self.suspicion[rows], kind="stable")]

    @property
    def counts(self) -> dict[str, int]:
        """How many images have each status."""
        found = Counter(self.status)
        return {status: found[status] for status in STATUSES}

    @property
    def duplicates(self) -> int:
        """How many images have a near-duplicate."""
        _, sizes = np.unique(self.survey.groups, return_counts=True)
        return int(sizes[sizes > 1].sum())

    @property
    def expected_wrong(self) -> float:
        """Expected number of wrong labels."""
        return self.judgement.expected_wrong

    def name(self, label: int) -> str | None:
        """Return the name of a class; None for -1."""
        return self.classes[label] if label >= 0 else None

    def corrected_label(self, row: int) -> str | None:
        """Return the label after the audit."""
        corrected = self.status[row] == CORRECTED
        return self.name(int(self.suggestion[row] if corrected else self.labels[row]))


def class_numbers(examples: list[Example], classes: list[str]) -> np.ndarray:
    """Return the class of each example, int64 of shape (n,); -1 without a label.

    Raises
    ------
    DatasetError
        As `ml.datasets.encoding.encode`; if no image has a label, or all labels are of one class.
    """
    _, labels = encode(examples, classes, unlabelled=True)
    present = np.unique(labels[labels >= 0])
    if not len(present):
        raise DatasetError(f"none of the {len(examples)} images has a label: there is nothing to audit")
    if len(present) == 1:
        raise DatasetError(
            f"all {int((labels >= 0).sum())} labels are {classes[int(present[0])]!r}: an audit compares classes, so it "
            "needs labels of at least two"
        )
    return labels


def find(
    embedded: Embedded,
    labels: np.ndarray,
    classes: list[str],
    evidence: Evidence,
    *,
    precision: float | None = 0.9,
    truth: np.ndarray | None = None,
) -> Findings:
    """Judge labels and images.

    Parameters
    ----------
    embedded : Embedded
        n images.
    labels : ndarray of int, shape (n,)
        Of `class_numbers`.
    classes : list of str
    evidence : Evidence
        Of the same images.
    precision : float or None
        How sure a correction must be, in (0, 1]; None: correct nothing.
    truth : ndarray of int, shape (n,), optional
        True classes, -1 where they are not known.
    """
    survey = _survey(embedded, labels, evidence)
    fault = judge_images(embedded.measures)
    rows = np.flatnonzero(labels >= 0)
    judged: Judgement = make_judge("choices")(
        labels[rows],
        evidence.probs[rows],
        keys=[embedded.keys[row] for row in rows],
        outlier=survey.outlier[rows],
        image=[fault[row] for row in rows],
        **evidence.for_judge(),
    )
    may = np.array([reason != TOO_FEW for reason in judged.reason])
    chosen, right = choose_corrections(
        labels[rows], evidence.probs[rows], judged.suggestion, judged.suspicion, may, precision
    )
    n = len(labels)
    none = np.zeros(n, dtype=bool)
    reason = choose_reasons(
        none, none, np.full(n, -1), outlier=survey.outlier, image=fault, groups=survey.groups
    )
    status = [UNLABELLED] * n
    for place, row in enumerate(rows.tolist()):
        status[row] = CORRECTED if chosen[place] else SUSPECT if judged.suspect[place] else KEPT
        reason[row] = judged.reason[place]
        if judged.reason[place] == DUPLICATE:
            reason[row] += f": {embedded.examples[rows[judged.twin[place]]].image}"
    statistics = measure_rows(labels, evidence, survey, embedded.measures)
    return Findings(
        examples=embedded.examples,
        classes=classes,
        labels=labels,
        suggestion=evidence.probs.argmax(axis=1),
        confidence=evidence.probs.max(axis=1).astype(np.float64),
        suspicion=_spread(judged.suspicion, rows, n),
        right=_spread(right, rows, n),
        status=status,
        reason=reason,
        statistics=statistics,
        anomalies=find_anomalies(statistics),
        fault=fault,
        survey=survey,
        judgement=judged,
        precision=precision,
        method=evidence.method,
        problems=embedded.problems,
        truth=truth,
    )


def _survey(embedded: Embedded, labels: np.ndarray, evidence: Evidence) -> Survey:
    """Look at all images; where all have a label, their neighbours are known already."""
    known = Survey(OUTLIERS, evidence.space, np.zeros(0)) if (labels >= 0).all() else None
    return make_survey(embedded.keys, embedded.vectors, OUTLIERS, warm=known)


def _spread(values: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    everywhere = np.full(n, np.nan)
    everywhere[rows] = values
    return everywhere
