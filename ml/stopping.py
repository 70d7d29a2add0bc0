"""When is it enough: how accurate the model is, and what the next labels would add."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ml.acquisition.probe import fit_probe

MORE = 100
MIN_UNIFORM = 50  # labels of the uniform sample that make an estimate of their own
_Z = 1.959964  # 95 %
_STRATA = 5
_RATES = np.geomspace(0.2, 1.5, 27)
_USUAL_RATE, _DOUBT = 0.5, 0.7  # of the logarithm of the rate: a few noisy points do not bend the curve
_NOISE = 0.01  # of one measured accuracy
_FRACTIONS = (0.125, 0.25, 0.5, 1.0)
_MAX_SIZE = 1_000
_MIN_SIZE = 8
_REPEATS = 4
# subsets of labels that a strategy chose rise more steeply than the strategy itself goes on: read off three data sets
_CHOSEN = 0.55


@dataclass(frozen=True)
class Accuracy:
    """An estimated accuracy with its interval.

    Attributes
    ----------
    value, low, high : float
        In [0, 1]; the interval is meant to hold the accuracy with 95 %.
    n : int
        Labels it rests on.
    source : str
        ``exploration``: labels of the uniform sample, without bias. ``weighted``: all labels, weighted to look
        like the collection by the model's confidence. ``labels``: all labels as they are; picked for being
        hard, they make the model look worse than it is on the rest.
    """

    value: float
    low: float
    high: float
    n: int
    source: str


@dataclass(frozen=True)
class Outlook:
    """How good a model is on a whole collection, and what more labels would bring.

    Attributes
    ----------
    accuracy : Accuracy
        Of the model that has learned from all labels.
    gain : float or None
        What the next `MORE` labels are expected to add to the accuracy, in [0, 1]; None with too few labels to
        tell.
    """

    accuracy: Accuracy
    gain: float | None


def look_ahead(
    X: np.ndarray,
    y: np.ndarray | None,
    correct: np.ndarray,
    confidence: np.ndarray,
    pool_confidence: np.ndarray,
    *,
    uniform: np.ndarray,
    n_folds: int,
    rng: np.random.Generator,
) -> Outlook | None:
    """Estimate accuracy and the gain of more labels from one learning curve.

    Out-of-sample predictions are by models that have seen all but one fold of the labels; what that fold adds
    is read off the curve and added to the estimate.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Labelled vectors.
    y : ndarray of int, shape (n,), or None
        None where labels are not one class a row: then there is no curve.
    correct, confidence, pool_confidence, uniform
        As in `estimate_accuracy`.
    n_folds : int
        Folds of the out-of-sample predictions.
    rng : numpy.random.Generator
        Of the subsets that the curve is measured on.

    Returns
    -------
    Outlook or None
        None without labels.
    """
    estimate = estimate_accuracy(correct, uniform, confidence=confidence, pool_confidence=pool_confidence)
    if estimate is None:
        return None
    if y is None:
        return Outlook(estimate, None)
    weights = collection_weights(confidence, pool_confidence)
    sizes, measured = measure_learning_curve(X, y, rng, weights=weights)
    if len(sizes) < 2:
        return Outlook(estimate, None)
    n, curve = len(y), fit_learning_curve(sizes, measured)
    rise = _CHOSEN * max(0.0, curve.at(n) - curve.at(n * (1.0 - 1.0 / n_folds)))
    value, low, high = (min(1.0, share + rise) for share in (estimate.value, estimate.low, estimate.high))
    return Outlook(replace(estimate, value=value, low=low, high=high), _CHOSEN * curve.gain(n, MORE))


def estimate_accuracy(
    correct: np.ndarray,
    uniform: np.ndarray | None = None,
    *,
    confidence: np.ndarray | None = None,
    pool_confidence: np.ndarray | None = None,
    min_uniform: int = MIN_UNIFORM,
) -> Accuracy | None:
    """Estimate accuracy on the whole collection from out-of-sample predictions of labelled rows.

    From the uniform sample where it is large enough. Else, with confidences, by post-stratification (Holt and
    Smith, JRSS A 142, 1979): accuracy within each of five ranges of confidence, weighted by the share of the
    collection in it; right as far as rows of like confidence are alike. The interval is Wilson's (JASA 22,
    1927), which holds for a few labels and near 1, with the effective number of labels under the weights.

    Parameters
    ----------
    correct : ndarray of bool, shape (n,)
        Whether the out-of-sample prediction of each labelled row agrees with its label.
    uniform : ndarray of bool, shape (n,), optional
        Rows of the uniform sample, see `ml.acquisition.explore.uniform_sample`.
    confidence : ndarray of float, shape (n,), optional
        Highest out-of-sample probability of each labelled row.
    pool_confidence : ndarray of float, shape (p,), optional
        Highest probability of each unlabelled row.
    min_uniform : int
        With fewer rows than this in the uniform sample, all rows are used.

    Returns
    -------
    Accuracy or None
        None without labels.
    """
    correct = np.asarray(correct, dtype=bool)
    if len(correct) == 0:
        return None
    if uniform is not None and int(np.sum(uniform)) >= min_uniform:
        chosen = correct[np.asarray(uniform, dtype=bool)]
        return _interval(float(chosen.mean()), len(chosen), len(chosen), "exploration")
    if confidence is None or pool_confidence is None or len(pool_confidence) == 0:
        return _interval(float(correct.mean()), len(correct), len(correct), "labels")
    weights = collection_weights(confidence, pool_confidence)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    return _interval(float(weights @ correct / weights.sum()), effective, len(correct), "weighted")


def collection_weights(confidence: np.ndarray, pool_confidence: np.ndarray) -> np.ndarray:
    """Weight labelled rows so that each of five ranges of confidence counts as it does in the collection.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
        Highest out-of-sample probability of each labelled row.
    pool_confidence : ndarray of float, shape (p,)
        Highest probability of each unlabelled row.

    Returns
    -------
    ndarray of float, shape (n,)
    """
    everything = np.concatenate([confidence, pool_confidence])
    edges = np.quantile(everything, np.linspace(0, 1, _STRATA + 1)[1:-1])
    own, of_all = np.searchsorted(edges, confidence), np.searchsorted(edges, everything)
    share = np.bincount(of_all, minlength=_STRATA) / len(everything)
    count = np.bincount(own, minlength=_STRATA)
    weights: np.ndarray = (share / np.maximum(count, 1))[own]
    return weights


def _interval(share: float, n: float, labels: int, source: str) -> Accuracy:
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * float(np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)))
    return Accuracy(share, max(0.0, middle - half), min(1.0, middle + half), labels, source)


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy as ``ceiling - scale * n ** -rate``.

    Attributes
    ----------
    ceiling, scale, rate : float
    """

    ceiling: float
    scale: float
    rate: float

    def at(self, n: float) -> float:
        """Return the accuracy with n labels."""
        return self.ceiling - self.scale * float(n) ** -self.rate

    def gain(self, n: int, more: int = 100) -> float:
        """Return what ``more`` labels after the first n are expected to add to the accuracy, at least 0."""
        return max(0.0, self.at(n + more) - self.at(n))


def fit_learning_curve(sizes: np.ndarray, accuracy: np.ndarray) -> LearningCurve:
    """Fit an inverse power law to accuracies measured with several numbers of labels.

    The law of Cortes et al., *Learning curves: asymptotic values and rate of convergence* (NIPS 1993): least
    squares for each of a grid of rates, with a prior around the usual one half, because a handful of noisy
    points leaves the rate open.

    Parameters
    ----------
    sizes : ndarray, shape (p,)
        Numbers of labels, positive, of at least two kinds.
    accuracy : ndarray of float, shape (p,)

    Raises
    ------
    ValueError
        If there are not two sizes.
    """
    sizes, accuracy = np.asarray(sizes, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if len(np.unique(sizes)) < 2:
        raise ValueError("a learning curve needs accuracies for at least two numbers of labels")
    best: tuple[float, LearningCurve] | None = None
    for rate in _RATES:
        falling = sizes**-rate
        slope = np.cov(falling, accuracy, bias=True)[0, 1] / falling.var()
        scale = max(0.0, -float(slope))
        ceiling = min(1.0, float(accuracy.mean()) + scale * float(falling.mean()))
        if ceiling == 1.0:
            scale = max(0.0, float(((1.0 - accuracy) * falling).sum() / (falling**2).sum()))
        error = float(((ceiling - scale * falling - accuracy) ** 2).sum()) / _NOISE**2
        error += (float(np.log(rate / _USUAL_RATE)) / _DOUBT) ** 2
        if best is None or error < best[0]:
            best = (error, LearningCurve(ceiling, scale, float(rate)))
    assert best is not None
    return best[1]


def measure_learning_curve(
    X: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Measure accuracy with an eighth, a quarter, half and all of the labels (at most 1,000).

    A closed-form ridge is fitted on random subsets and predicts every labelled row without having seen it:
    rows of the subset by exact leave-one-out, so all sizes are measured on the same rows. Subsets are drawn
    several times and their accuracies averaged.

    Parameters
    ----------
    X : ndarray of float, shape (n, d)
        Labelled vectors.
    y : ndarray of int, shape (n,)
    rng : numpy.random.Generator
    weights : ndarray of float, shape (n,), optional
        Of the rows accuracy is measured on, such as `collection_weights`; default: all the same.

    Returns
    -------
    sizes : ndarray of int, shape (p,)
        Ascending; empty where there are too few labels or only one class.
    accuracy : ndarray of float, shape (p,)
    """
    X, y = np.asarray(X, dtype=np.float32), np.asarray(y, dtype=np.int64)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    sizes, accuracy = [], []
    for fraction in _FRACTIONS:
        size = int(min(len(y), _MAX_SIZE) * fraction)
        if size < _MIN_SIZE:
            continue
        shares = []
        for _ in range(1 if size == len(y) else _REPEATS):
            subset = np.sort(rng.permutation(len(y))[:size])
            if len(np.unique(y[subset])) < 2:
                continue
            probe = fit_probe(X[subset], y[subset], rng)
            decided: np.ndarray = probe.decide(X).argmax(axis=1)
            decided[subset] = probe.left_out
            shares.append(float(weights @ (decided == y) / weights.sum()))
        if shares:
            sizes.append(size)
            accuracy.append(float(np.mean(shares)))
    return np.array(sizes, dtype=np.int64), np.array(accuracy)
