"""Suspicion of single-choice labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.suspicion.calibration import calibrate, recalibrate
from ml.suspicion.copies import find_copies, find_outvoted
from ml.suspicion.filters import find_issues
from ml.suspicion.judgement import Judgement
from ml.suspicion.noise import fit_noise
from ml.suspicion.reasons import DISAGREES, DUPLICATE, TOO_FEW, choose_reasons, find_twins
from ml.suspicion.reviews import before_review
from ml.suspicion.scores import DEFAULT, logit, make_score
from ml.suspicion.suspects import choose_suspects
from ml.suspicion.threshold import expected_wrong

__all__ = ["DISAGREES", "DUPLICATE", "TOO_FEW", "Judgement", "judge"]

EVEN = 0.5  # at 0.5 a label is as probably wrong as right
_TINY = 1e-12


def judge(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    keys: Sequence[str] | None = None,
    folds: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    neighbour_label: np.ndarray | None = None,
    neighbour_support: np.ndarray | None = None,
    method: str = DEFAULT,
    filter_by: str | None = None,
    precision: float | None = None,
    reviewed: np.ndarray | None = None,
    before: np.ndarray | None = None,
    agreement: np.ndarray | None = None,
    outlier: np.ndarray | None = None,
    image: list[str] | None = None,
) -> Judgement:
    """Judge labels by out-of-sample probabilities.

    A score orders the labels, a noise model fitted to the same probabilities says how many are wrong, and the
    two together make a probability, corrected by the labels that were reviewed.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Classes in [0, K).
    probs : ndarray of float, shape (n, K)
        Rows sum to 1; each predicted without its own label.
    keys : sequence of str, length n, optional
        Content digests. Where the same content has different labels at least one is wrong: those outvoted by
        its copies (in a draw: the less probable) are at least at 0.5.
    folds : ndarray of int, shape (n,), optional
        The folds ``probs`` were predicted by. A label whose class has no example in the other folds cannot be
        judged: its suspicion stays below 0.5, and it is not suspect.
    groups : ndarray of int, shape (n,), optional
        Near-duplicates, as `ml.space.Space.groups`. Default: identical content.
    neighbour_label, neighbour_support : ndarray, shape (n,), optional
        As in `ml.heads.ensemble.Ensemble`.
    method : str
        One of `ml.suspicion.scores.SCORES`.
    filter_by : str, optional
        One of `ml.suspicion.filters.FILTERS`: decides what is suspect instead of the threshold, which becomes
        the suspicion of the least suspicious of these; what the filter passes stays below.
    precision : float, optional
        Wanted share of wrong labels among the suspects; see `ml.suspicion.threshold.review_threshold`.
    reviewed : ndarray of bool, shape (n,), optional
        Labels a person has checked: not suspect again.
    before : ndarray of int, shape (n,), optional
        Labels as they were before the check; -1 where that is not known. The difference to ``labels``
        re-calibrates the suspicion.
    agreement, outlier, image
        See `ml.suspicion.reasons.choose_reasons`.

    Raises
    ------
    ValueError
        If a method, a filter or the precision is out of range.
    """
    score = make_score(method)
    labels = np.asarray(labels, dtype=np.int64)
    if not len(labels):
        none = np.zeros(0, dtype=np.int64)
        return Judgement(np.zeros(0), none, np.zeros(0), [], none, 1.0, none.astype(bool), 0.0, None)
    probs = np.asarray(probs)
    log_probs = np.log(np.maximum(probs, _TINY)).astype(np.float32)
    checked, known, given = before_review(labels, reviewed, before)
    noise = fit_noise(given, log_probs)
    scores = score(given, log_probs, noise)
    calibration = calibrate(scores, logit(noise.wrong(given, log_probs)), noise.rate)
    corrected = np.flatnonzero(given != labels)
    calibration = recalibrate(calibration, scores[known], given[known] != labels[known])
    if len(corrected):
        scores[corrected] = score(labels[corrected], log_probs[corrected], noise)
    suspicion = calibration.probability(scores)
    suggestion = probs.argmax(axis=1)
    unseen = None
    if folds is not None:
        unseen = _unseen(labels, np.asarray(folds), probs.shape[1])
        suspicion[unseen] = np.minimum(suspicion[unseen], np.nextafter(EVEN, 0.0))
    if keys is not None:
        same = find_copies(keys)
        outvoted = find_outvoted(labels, probs[np.arange(len(labels)), labels], same)
        suspicion[outvoted] = np.maximum(suspicion[outvoted], EVEN)
        groups = same if groups is None else groups
    twins = (
        np.full(len(labels), -1, dtype=np.int64) if groups is None else find_twins(labels, np.asarray(groups))
    )
    suspicion, threshold, suspect = choose_suspects(
        suspicion,
        checked=checked,
        found=len(corrected),
        unseen=unseen,
        precision=precision,
        issues=None if filter_by is None else find_issues(labels, probs, filter_by),
    )
    reason = choose_reasons(
        suspect,
        suggestion != labels,
        twins,
        unseen=unseen,
        neighbour_label=neighbour_label,
        neighbour_support=neighbour_support,
        labels=labels,
        agreement=agreement,
        outlier=outlier,
        image=image,
        groups=groups,
    )
    return Judgement(
        suspicion,
        suggestion,
        probs.max(axis=1),
        reason,
        twins,
        threshold,
        suspect,
        expected_wrong(suspicion[~checked]),
        calibration,
    )


def _unseen(labels: np.ndarray, folds: np.ndarray, n_classes: int) -> np.ndarray:
    """Mask of labels whose class occurs in their own fold only."""
    counts = np.zeros((n_classes, int(folds.max()) + 1), dtype=np.int64)
    np.add.at(counts, (labels, folds), 1)
    unseen: np.ndarray = counts[labels].sum(axis=1) == counts[labels, folds]
    return unseen
