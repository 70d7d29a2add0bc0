"""Suspicion of labels of several classes an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.suspicion.calibration import Calibration, calibrate, fit_calibration
from ml.suspicion.noise import fit_noise
from ml.suspicion.reasons import choose_reasons, find_twins
from ml.suspicion.scores import logit, posterior
from ml.suspicion.threshold import expected_wrong, review_threshold

METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
_TINY = 1e-12
_YES = 0.5


@dataclass(frozen=True)
class MultiJudgement:
    """What a model makes of label sets; all arrays are in the order of the labels given.

    Attributes
    ----------
    suspicion : ndarray of float, shape (n,)
        Probability that any class of the row is wrongly given or missing, in [0, 1].
    class_suspicion : ndarray of float, shape (n, K)
        Probability for each class.
    suggestion : ndarray of bool, shape (n, K)
        The classes more probable than not.
    confidence : ndarray of float, shape (n,)
        Probability of the least certain class decision of the suggestion, in [0.5, 1].
    reason : list of str, length n
    twin : ndarray of int, shape (n,)
        A near-duplicate with other classes, by row; -1 where there is none.
    threshold : float
    suspect : ndarray of bool, shape (n,)
    expected_wrong : float
    calibration : Calibration or None
    """

    suspicion: np.ndarray
    class_suspicion: np.ndarray
    suggestion: np.ndarray
    confidence: np.ndarray
    reason: list[str]
    twin: np.ndarray
    threshold: float
    suspect: np.ndarray
    expected_wrong: float
    calibration: Calibration | None


def judge_multilabel(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    method: str = "self_confidence",
    precision: float | None = None,
    agreement: np.ndarray | None = None,
    outlier: np.ndarray | None = None,
    image: list[str] | None = None,
) -> MultiJudgement:
    """Judge label sets by out-of-sample probabilities.

    Rows are ordered by cleanlab's multi-label quality (an exponential moving average over a row's class scores,
    Thyagarajan et al., arXiv 2211.13895). Each class is a question of yes or no with its own noise model; the
    probability that a row has any wrong class is one minus the product over classes, to which the quality is
    calibrated.

    Parameters
    ----------
    labels : ndarray of bool, shape (n, K)
        The classes each row has.
    probs : ndarray of float, shape (n, K)
        Of each class, predicted without the row's own label; they need not sum to 1.
    groups, precision, agreement, outlier, image
        As in `ml.suspicion.choices.judge`.
    method : str
        One of `METHODS`.

    Raises
    ------
    ValueError
        If there is no such method.
    """
    from cleanlab.multilabel_classification import get_label_quality_scores

    if method not in METHODS:
        raise ValueError(f"no multi-label score {method!r}: there are {', '.join(METHODS)}")
    labels, probs = np.asarray(labels, dtype=bool), np.asarray(probs, dtype=np.float64)
    n = len(labels)
    if not n:
        none, rows = np.zeros(0), np.zeros(0, dtype=np.int64)
        empty = np.zeros(labels.shape)
        return MultiJudgement(none, empty, empty > 0, none, [], rows, 1.0, none > 0, 0.0, None)
    class_suspicion = np.stack(
        [_class_suspicion(given, p) for given, p in zip(labels.T, probs.T, strict=True)], axis=1
    )
    anything = 1.0 - np.prod(1.0 - class_suspicion, axis=1)
    sets = [np.flatnonzero(row).tolist() for row in labels]
    quality = get_label_quality_scores(sets, np.clip(probs, _TINY, 1.0 - _TINY), method=method)
    scores = -logit(quality)
    calibration = fit_calibration(scores, anything)
    suspicion = calibration.probability(scores)
    suggestion = probs >= _YES
    sure = np.where(suggestion, probs, 1.0 - probs).min(axis=1)
    threshold = review_threshold(suspicion, precision=precision)
    suspect = suspicion >= threshold
    twins = np.full(n, -1, dtype=np.int64)
    if groups is not None:
        _, kinds = np.unique(labels, axis=0, return_inverse=True)
        twins = find_twins(kinds.reshape(-1), np.asarray(groups))
    disagrees = (suggestion != labels).any(axis=1)
    reason = choose_reasons(
        suspect, disagrees, twins, agreement=agreement, outlier=outlier, image=image, groups=groups
    )
    total = expected_wrong(suspicion)
    return MultiJudgement(
        suspicion, class_suspicion, suggestion, sure, reason, twins, threshold, suspect, total, calibration
    )


def _class_suspicion(given: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """Probability that each row's answer to one class is wrong."""
    answer = given.astype(np.int64)
    if given.all() or not given.any():
        return np.zeros(len(given))
    log_probs = np.log(np.clip(np.stack([1.0 - probs, probs], axis=1), _TINY, 1.0)).astype(np.float32)
    noise = fit_noise(answer, log_probs)
    scores = posterior(answer, log_probs, noise)
    return calibrate(scores, logit(noise.wrong(answer, log_probs)), noise.rate).probability(scores)
