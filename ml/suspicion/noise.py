"""How labels go wrong: a model of class-to-class noise, fitted to labels and out-of-sample probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.heads.head import softmax

_EXPONENTS = (0.8, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0)
_VALUES = 1 << 16  # probabilities looked at while the exponent is searched for
_ALL_VALUES = 1 << 19  # and for the transitions
_FEWEST_ROWS, _MOST_ROWS = 500, 8_000
_SEARCH_ITERATIONS = 20
_ITERATIONS = 25
_PRIOR_ROWS = 2.0  # an imagined class-independent noise, in rows a class
_FIXED_ITERATIONS = 5  # before the class weights move
_BIAS_STEP = 0.5
_LARGEST_BIAS = 2.0
_PRIOR_CLASS_ROWS = 5.0
_FLOOR = -60.0
PRIOR_RATE = 0.05
_PRIOR_RATE_ROWS = 50.0
_FIRST_RATE = 0.1
_TOWARDS_HIGH = 0.6


@dataclass(frozen=True)
class NoiseModel:
    """Labels are drawn from a true class, and true classes from sharpened probabilities.

    Attributes
    ----------
    exponent : float
    bias : ndarray of float, shape (K,)
        The true class of a row has probabilities proportional to exp(exponent x log-probability + bias).
    transitions : ndarray of float, shape (K, K)
        Row i: how often each label is given to class i.
    rate : float
        Expected share of wrong labels, in [0, 1]: between what the model explains by noise alone and what it
        explains by images that are hard to tell apart.
    """

    exponent: float
    bias: np.ndarray
    transitions: np.ndarray
    rate: float

    def wrong(self, labels: np.ndarray, log_probs: np.ndarray) -> np.ndarray:
        """Return the posterior probability that each label is wrong, shape (n,)."""
        wrong: np.ndarray = 1.0 - self.posterior(labels, log_probs, labels)
        return wrong

    def posterior(self, labels: np.ndarray, log_probs: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the posterior probability that each row with its label is truly of a class, one a row, shape (n,)."""
        posterior = np.empty(len(labels))
        rows = max(1, (1 << 22) // log_probs.shape[1])
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            joint = softmax(self.exponent * log_probs[part] + self.bias) * self.transitions.T[labels[part]]
            asked = joint[np.arange(len(joint)), classes[part]]
            posterior[part] = asked / np.maximum(joint.sum(axis=1), 1e-300)
        return posterior


def fit_noise(labels: np.ndarray, log_probs: np.ndarray, *, prior_rate: float = PRIOR_RATE) -> NoiseModel:
    """Fit the noise model by expectation-maximisation.

    Probabilities of a model learned from noisy labels are those of noisy labels: too flat, by the noise. The
    class-conditional model p(label | x) = sum_i q_i(x) T_{i,label} (Natarajan et al., NeurIPS 2013; Patrini
    et al., arXiv 1609.03683) with q the predictions to a power is fitted to the labels by likelihood. It calls
    noise only what hard images cannot explain, so its rate is a lower bound; the off-diagonal share of the
    confident joint (Northcutt et al., arXiv 1911.00068, section 3) calls every confident disagreement noise
    and is an upper one. ``rate`` lies between them, at 0.6 of the way in logarithms (of the four noise levels of
    CIFAR-10N, 9 to 41 %, none is then missed by more than a seventh), drawn to a prior rate by fifty imagined rows.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    log_probs : ndarray of float, shape (n, K)
        Out-of-sample.
    prior_rate : float
        Share of wrong labels to expect of a project nothing is known of, in (0, 1).
    """
    n, n_classes = log_probs.shape
    some = slice(None, None, max(1, n // min(max(_VALUES // n_classes, _FEWEST_ROWS), _MOST_ROWS)))
    tried = [_expect(labels[some], log_probs[some], power, _SEARCH_ITERATIONS) for power in _EXPONENTS]
    exponent = _peak(np.log(_EXPONENTS), np.array([likelihood for _, _, likelihood in tried]))
    most = slice(None, None, max(1, n // max(_ALL_VALUES // n_classes, 8 * _FEWEST_ROWS)))
    transitions, bias, _ = _expect(labels[most], log_probs[most], exponent, _ITERATIONS)
    model = NoiseModel(exponent, bias, transitions, 0.0)
    low = float(model.wrong(labels, log_probs).mean())
    high = max(confident_disagreement(labels, log_probs), low)
    rate = low ** (1 - _TOWARDS_HIGH) * high**_TOWARDS_HIGH
    rate = (rate * n + prior_rate * _PRIOR_RATE_ROWS) / (n + _PRIOR_RATE_ROWS)
    return NoiseModel(exponent, bias, transitions, float(rate))


def confident_disagreement(labels: np.ndarray, log_probs: np.ndarray) -> float:
    """Return the share of the confident joint off its diagonal, in [0, 1].

    A row counts for the most probable of the classes whose probability is at least the average one among the
    rows labelled so; a row without such a class does not count.
    """
    n_classes = log_probs.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.zeros(n_classes)
    own = np.exp(log_probs[np.arange(len(labels)), labels])
    np.add.at(sums, labels, own)
    threshold = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    with np.errstate(divide="ignore"):
        log_threshold = np.log(threshold).astype(log_probs.dtype)
    confident = disagree = 0
    rows = max(1, (1 << 22) // n_classes)
    for start in range(0, len(labels), rows):
        part = log_probs[start : start + rows]
        masked = np.where(part >= log_threshold, part, -np.inf)
        best = masked.argmax(axis=1)
        sure = np.isfinite(masked[np.arange(len(part)), best])
        confident += int(sure.sum())
        disagree += int((sure & (best != labels[start : start + rows])).sum())
    return disagree / confident if confident else 0.0


def _expect(
    labels: np.ndarray, log_probs: np.ndarray, exponent: float, iterations: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Transitions, bias and mean log-likelihood at one exponent."""
    from scipy.sparse import csr_matrix

    n, n_classes = log_probs.shape
    sharp = np.exp(np.maximum(np.float32(exponent) * log_probs.astype(np.float32), _FLOOR))
    bias = np.zeros(n_classes)
    given = csr_matrix((np.ones(n, dtype=np.float32), (labels, np.arange(n))), shape=(n_classes, n))
    others = max(n_classes - 1, 1)
    off = np.full((n_classes, n_classes), 1.0 / others) - np.eye(n_classes) / others
    transitions = (1 - _FIRST_RATE) * np.eye(n_classes) + _FIRST_RATE * off
    likelihood = 0.0
    for iteration in range(iterations):
        q = sharp * np.exp(bias).astype(np.float32)
        q /= q @ np.ones((n_classes, 1), dtype=np.float32)
        joint = q * transitions.T.astype(np.float32)[labels]
        total = np.maximum(joint @ np.ones((n_classes, 1), dtype=np.float32), 1e-30)
        joint /= total
        counts = (given @ joint).T.astype(np.float64)
        rate = 1.0 - float(np.trace(counts)) / n
        counts += _PRIOR_ROWS * ((1 - rate) * np.eye(n_classes) + rate * off)
        transitions = counts / counts.sum(axis=1, keepdims=True)
        likelihood = float(np.log(total).mean())
        if iteration >= _FIXED_ITERATIONS:
            expected = q.sum(axis=0, dtype=np.float64) + _PRIOR_CLASS_ROWS
            step = np.log(counts.sum(axis=1) - _PRIOR_ROWS + _PRIOR_CLASS_ROWS) - np.log(expected)
            bias = np.clip(bias + _BIAS_STEP * step, -_LARGEST_BIAS, _LARGEST_BIAS)
    return transitions, bias, likelihood


def _peak(places: np.ndarray, values: np.ndarray) -> float:
    """The exponential of where a parabola through the largest value and its neighbours peaks."""
    best = int(np.clip(values.argmax(), 1, len(values) - 2))
    curve = np.polyfit(places[best - 1 : best + 2], values[best - 1 : best + 2], 2)
    peak = -curve[1] / (2 * curve[0]) if curve[0] < 0 else places[int(values.argmax())]
    return float(np.exp(np.clip(peak, places[best - 1], places[best + 1])))
