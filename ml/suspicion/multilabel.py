"""Suspicion of labels of several classes an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.heads.sets import EVEN, likely_sets
from ml.suspicion.calibration import Calibration, calibrate, fit_calibration, recalibrate
from ml.suspicion.copies import find_copies, find_outvoted
from ml.suspicion.filters import find_set_issues
from ml.suspicion.judgement import MultiJudgement
from ml.suspicion.noise import PRIOR_RATE, NoiseModel, fit_noise
from ml.suspicion.reasons import choose_reasons, find_twins
from ml.suspicion.reviews import before_review
from ml.suspicion.scores import DEFAULT, logit, make_score, posterior
from ml.suspicion.suspects import choose_suspects
from ml.suspicion.threshold import expected_wrong

_TINY = 1e-12


def judge_multilabel(
    labels: np.ndarray,
    probs: np.ndarray,
    *,
    keys: Sequence[str] | None = None,
    folds: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    neighbour_shares: np.ndarray | None = None,
    method: str = DEFAULT,
    filter_by: str | None = None,
    precision: float | None = None,
    reviewed: np.ndarray | None = None,
    before: np.ndarray | None = None,
    agreement: np.ndarray | None = None,
    outlier: np.ndarray | None = None,
    image: list[str] | None = None,
) -> MultiJudgement:
    """Judge label sets by out-of-sample probabilities.

    Each class is a question of yes or no with its own noise model. Rows are ordered by their most suspicious class
    together with cleanlab's multi-label quality (an exponential moving average over a row's class scores,
    Thyagarajan et al., arXiv 2211.13895), half and half. The probability that a row has any wrong class is one minus
    the product over classes: to that the order is calibrated, corrected by the sets that were reviewed.

    Parameters
    ----------
    labels : ndarray of bool, shape (n, K)
        The classes each row has.
    probs : ndarray of float, shape (n, K)
        Of each class, predicted without the row's own label; they need not sum to 1.
    keys : sequence of str, length n, optional
        Content digests; as in `ml.suspicion.choices.judge`, with sets for classes.
    folds : ndarray of int, shape (n,), optional
        The folds ``probs`` were predicted by. A set with a class that no example in the other folds has cannot
        be judged: its suspicion stays below 0.5, and it is not suspect.
    neighbour_shares : ndarray of float, shape (n, K), optional
        As in `ml.heads.sets.SetEnsemble`.
    groups, filter_by, precision, agreement, outlier, image
        As in `ml.suspicion.choices.judge`.
    method : str
        A name in `ml.suspicion.scores.SCORES`: the default; ``log_margin``, by the class that fits worst; or
        cleanlab's alone.
    reviewed : ndarray of bool, shape (n,), optional
        Sets a person has checked: not suspect again.
    before : ndarray of int, shape (n, K), optional
        Sets as they were before the check, as 0 and 1; -1 where that is not known. The difference to ``labels``
        re-calibrates the suspicion.

    Raises
    ------
    ValueError
        If a method, a filter or the precision is out of range.
    """
    make_score(method)  # the names are those of single choices
    labels, probs = np.asarray(labels, dtype=bool), np.asarray(probs, dtype=np.float64)
    n = len(labels)
    if not n:
        none, rows = np.zeros(0), np.zeros(0, dtype=np.int64)
        empty = np.zeros(labels.shape)
        return MultiJudgement(none, empty > 0, none, [], rows, 1.0, none > 0, 0.0, None, empty)
    checked, known, given = before_review(labels, reviewed, before)
    doubts = _Doubts.fit(given, probs)
    anything = 1.0 - np.prod(1.0 - doubts.of(given, probs), axis=1)
    scores = _score(given, probs, method, doubts)
    changed = (given != labels).any(axis=1)
    calibration = recalibrate(fit_calibration(scores, anything), scores[known], changed[known])
    if changed.any():
        scores[changed] = _score(labels[changed], probs[changed], method, doubts)
    class_suspicion = doubts.of(labels, probs)
    suspicion = calibration.probability(scores)
    suggestion, sure = likely_sets(probs)
    unseen = None
    if folds is not None:
        unseen = find_unseen(labels, np.asarray(folds))
        suspicion[unseen] = np.minimum(suspicion[unseen], np.nextafter(EVEN, 0.0))
    _, sets = np.unique(labels, axis=0, return_inverse=True)
    sets = sets.reshape(-1)
    if keys is not None:
        copies = find_copies(keys)
        own = np.log(np.maximum(np.where(labels, probs, 1.0 - probs), _TINY)).sum(axis=1)
        outvoted = find_outvoted(sets, own, copies)
        suspicion[outvoted] = np.maximum(suspicion[outvoted], EVEN)
        groups = copies if groups is None else groups
    twins = np.full(n, -1, dtype=np.int64) if groups is None else find_twins(sets, np.asarray(groups))
    suspicion, threshold, suspect = choose_suspects(
        suspicion,
        checked=checked,
        found=int(changed.sum()),
        unseen=unseen,
        precision=precision,
        issues=None if filter_by is None else find_set_issues(labels, probs, filter_by),
    )
    nearby, support = None, None
    if neighbour_shares is not None:
        support = np.where(labels, neighbour_shares, 1.0 - neighbour_shares).min(axis=1)
        nearby = np.where(support < EVEN, -1, sets)
    reason = choose_reasons(
        suspect,
        (suggestion != labels).any(axis=1),
        twins,
        unseen=unseen,
        neighbour_label=nearby,
        neighbour_support=support,
        labels=sets,
        agreement=agreement,
        outlier=outlier,
        image=image,
        groups=groups,
    )
    total = expected_wrong(suspicion[~checked])
    return MultiJudgement(
        suspicion, suggestion, sure, reason, twins, threshold, suspect, total, calibration, class_suspicion
    )


@dataclass(frozen=True)
class _Doubts:
    """For each class how its answers go wrong; None where all rows have the same answer."""

    classes: list[tuple[NoiseModel, Calibration] | None]

    @classmethod
    def fit(cls, labels: np.ndarray, probs: np.ndarray) -> _Doubts:
        classes: list[tuple[NoiseModel, Calibration] | None] = []
        for given, p in zip(labels.T, probs.T, strict=True):
            if given.all() or not given.any():
                classes.append(None)
                continue
            answer, log_probs = given.astype(np.int64), _no_and_yes(p)
            # of a project nothing is known of, a share of the sets is wrong, not of each class
            noise = fit_noise(answer, log_probs, prior_rate=PRIOR_RATE / labels.shape[1])
            log_odds = logit(noise.wrong(answer, log_probs))
            classes.append((noise, calibrate(posterior(answer, log_probs, noise), log_odds, noise.rate)))
        return cls(classes)

    def of(self, labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
        """Return the probability that each row's answer to each class is wrong, shape (n, K)."""
        wrong = np.zeros(labels.shape)
        for k, fitted in enumerate(self.classes):
            if fitted is not None:
                noise, calibration = fitted
                scores = posterior(labels[:, k].astype(np.int64), _no_and_yes(probs[:, k]), noise)
                wrong[:, k] = calibration.probability(scores)
        return wrong


def _no_and_yes(probs: np.ndarray) -> np.ndarray:
    return np.log(np.clip(np.stack([1.0 - probs, probs], axis=1), _TINY, 1.0)).astype(np.float32)


def _score(labels: np.ndarray, probs: np.ndarray, method: str, doubts: _Doubts) -> np.ndarray:
    """How badly each set fits, in log-odds."""
    if method == DEFAULT:
        worst = logit(doubts.of(labels, probs).max(axis=1))
        return 0.5 * (worst + _cleanlab(labels, probs, "confidence_weighted_entropy"))
    if method == "log_margin":
        return logit(np.where(labels, 1.0 - probs, probs).max(axis=1))
    return _cleanlab(labels, probs, method)


def _cleanlab(labels: np.ndarray, probs: np.ndarray, method: str) -> np.ndarray:
    """Log-odds of one minus cleanlab's quality of each set."""
    from cleanlab.multilabel_classification import get_label_quality_scores

    n = len(labels)
    if labels.shape[1] == 1:  # to cleanlab one column is no set; twice the same averages to itself
        labels, probs = np.repeat(labels, 2, axis=1), np.repeat(probs, 2, axis=1)
    # nor does it take sets that are all empty, or all full: two more rows, since each is scored by itself
    sets = [*(np.flatnonzero(row).tolist() for row in labels), list(range(labels.shape[1])), []]
    probs = np.concatenate([probs, np.full((2, labels.shape[1]), EVEN)])
    quality = get_label_quality_scores(sets, np.clip(probs, _TINY, 1.0 - _TINY), method=method)
    return -logit(quality[:n])


def find_unseen(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return which sets, bool of shape (n, K), have a class that occurs in their own fold only; shape (n,)."""
    inside = np.stack([labels[folds == fold].sum(axis=0) for fold in range(int(folds.max()) + 1)])
    alone = inside == inside.sum(axis=0)
    unseen: np.ndarray = (labels & alone[folds]).any(axis=1)
    return unseen
