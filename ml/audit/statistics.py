"""Numbers that tell how an image and its label fit into the set."""

from __future__ import annotations

import numpy as np

from ml.audit.evidence import Evidence
from ml.quality import MEASURES
from ml.survey import Survey

_TINY = 1e-12
_AXES = 128

# in the order of the table; what each means: docs/datasets.md
LABEL_STATISTICS = (
    "self_confidence",
    "margin",
    "loss",
    "entropy",
    "disagreement",
    "class_distance",
    "neighbour_agreement",
)
# the measures of the image; one has the name of a statistic of the prediction
GREY_ENTROPY = "grey_entropy"
_MEASURED = tuple(GREY_ENTROPY if name == "entropy" else name for name in MEASURES)
IMAGE_STATISTICS = ("outlier", *_MEASURED)
STATISTICS = (*LABEL_STATISTICS, *IMAGE_STATISTICS)


def measure_rows(
    labels: np.ndarray, evidence: Evidence, survey: Survey, measures: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the statistics of each image, float64 of shape (n,) each; NaN where one does not apply.

    ``self_confidence``: the probability of the given label; ``margin``: that minus the most probable other class's,
    in [-1, 1]; ``loss``: minus its logarithm, in nats; ``entropy`` of the prediction, relative to the most it can
    be, in [0, 1]; ``disagreement``: `ml.audit.evidence.disagreement`; ``class_distance``: `class_distance`;
    ``neighbour_agreement``: the neighbours' posterior of the given label (`ml.heads.knn`); ``outlier``: the survey's
    score, in [0, 1]; then the `ml.quality.MEASURES`, with ``grey_entropy`` for the image's own entropy.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        -1 without a label.
    evidence : Evidence
    survey : Survey
        Of the same n images.
    measures : ndarray of float, shape (n, 7)
        Of `ml.quality.measure`.
    """
    probs = evidence.probs
    rows = np.flatnonzero(labels >= 0)
    given = labels[rows]
    found = {name: np.full(len(labels), np.nan) for name in LABEL_STATISTICS}
    own = probs[rows, given].astype(np.float64)
    others = probs[rows]
    others[np.arange(len(rows)), given] = -1.0
    found["self_confidence"][rows] = own
    found["margin"][rows] = own - others.max(axis=1)
    found["loss"][rows] = -np.log(np.maximum(own, _TINY))
    found["entropy"] = relative_entropy(probs)
    found["disagreement"] = evidence.disagreement.astype(np.float64)
    found["class_distance"][rows] = class_distance(survey.space.Z[rows], given)
    found["neighbour_agreement"][rows] = evidence.neighbour_support
    found["outlier"] = survey.outlier.astype(np.float64)
    return found | dict(zip(_MEASURED, measures.T.astype(np.float64), strict=True))


def relative_entropy(probs: np.ndarray) -> np.ndarray:
    """Return the entropy of each row of shape (n, K), relative to that of K equal probabilities."""
    nats = -(probs * np.log(np.maximum(probs, _TINY))).sum(axis=1, dtype=np.float64)
    shares: np.ndarray = nats / np.log(max(probs.shape[1], 2))
    return shares


def class_distance(Z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each row's cosine distance to the mean of the other rows of its class, in [0, 2].

    The nearest-mean rule on normalised features (Mensink et al., IEEE TPAMI 35, 2013), each row left out of its
    own mean. NaN where a class has no other row.

    Parameters
    ----------
    Z : ndarray of float, shape (n, r)
        Coordinates by falling variance; the first 128 count.
    labels : ndarray of int, shape (n,)
    """
    points = Z[:, :_AXES]
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), _TINY)
    order = np.argsort(labels, kind="stable")
    present, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    place = np.searchsorted(present, labels)
    means = np.add.reduceat(points[order], starts, axis=0)[place] - points if len(labels) else points
    norms = np.linalg.norm(means, axis=1)
    distance = 1.0 - np.einsum("ij,ij->i", points, means) / np.maximum(norms, _TINY)
    return np.where(counts[place] > 1, distance, np.nan)
