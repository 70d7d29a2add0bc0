"""From a score to the probability that a label is wrong, first without any reviewed label, then with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_HARD_IMAGES = 0.8  # slope of the truth against the noise model: people err more where the model is unsure
_FIT_ROWS = 20_000
_FIT_PLACES = 2_000
_FIT_STEPS = 100
_FIT_PRECISION = 1e-6
_FIT_BOUNDS = np.array([3.0, 40.0])  # of the logarithm of the slope, and of the height
_FAINT, _TINY = 0.05, 1e-9
KNOTS = np.arange(-8.0, 8.5, 1.0)  # log-odds
_SIZE = 2.0  # deviations of the correction before reviews: of itself, and from one knot to the next
_ROUGHNESS = 0.7
_NEWTON_STEPS = 30
_LEAST_RISE = 0.05
_STEPS = 40


@dataclass(frozen=True)
class Calibration:
    """The probability p of a score s: ln(p / (1 - p)) = slope s + intercept, then corrected by reviews.

    Attributes
    ----------
    slope, intercept : float
        The slope is positive, so the order is the score's.
    correction : tuple of float
        Added to the log-odds at `KNOTS`, linear between them. Empty without reviews.
    n_reviewed : int
        Reviewed labels it was corrected by.
    """

    slope: float
    intercept: float
    correction: tuple[float, ...] = ()
    n_reviewed: int = 0

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return the probability that each label is wrong, in [0, 1]."""
        values = self.slope * np.asarray(scores, dtype=np.float64) + self.intercept
        if self.correction:
            values = values + np.interp(values, KNOTS, self.correction)
        return sigmoid(values)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return the logistic function of values."""
    probs: np.ndarray = 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))
    return probs


def calibrate(scores: np.ndarray, log_odds: np.ndarray, rate: float) -> Calibration:
    """Calibrate scores without clean labels.

    The noise model's log-odds are flattened by 0.8 and shifted until they average the estimated rate of wrong
    labels; the scores are then fitted to these probabilities by cross-entropy (Platt scaling with soft
    targets). 0.8 was read off four noise levels of CIFAR-10N, where anything from 0.7 to 1 keeps the
    calibration error below 0.05.

    Parameters
    ----------
    scores : ndarray of float, shape (n,)
    log_odds : ndarray of float, shape (n,)
        Of being wrong, by the noise model.
    rate : float
        Expected share of wrong labels.
    """
    rows = slice(None, None, max(1, -(-len(scores) // _FIT_ROWS)))
    flat = _HARD_IMAGES * log_odds[rows]
    low, high = -40.0, 40.0
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sigmoid(flat + middle).mean() < rate else (low, middle)
    targets = sigmoid(flat + 0.5 * (low + high))
    return fit_calibration(scores[rows], targets)


def recalibrate(calibration: Calibration, checked: np.ndarray, wrong: np.ndarray) -> Calibration:
    """Correct a calibration by labels that people have checked.

    The correction of the log-odds is piecewise linear between knots, fitted by penalised likelihood: it is
    smooth, and it fades to nothing where nobody looked, since the most suspicious labels, which are reviewed
    first, say little of the others. A handful of reviews moves it a little; the order of labels stays. That the
    reviewed labels were chosen by their score does no harm: given the score, being wrong does not depend on it.

    Parameters
    ----------
    calibration : Calibration
    checked : ndarray of float, shape (m,)
        Scores of the checked labels as they were before.
    wrong : ndarray of bool, shape (m,)
        Whether the check changed them.
    """
    if not len(checked):
        return calibration
    values = calibration.slope * np.asarray(checked, dtype=np.float64) + calibration.intercept
    hats = _hats(values)
    targets = np.asarray(wrong, dtype=np.float64)
    steps = np.diff(np.eye(len(KNOTS)), axis=0)
    precision = np.eye(len(KNOTS)) / _SIZE**2 + steps.T @ steps / _ROUGHNESS**2
    correction = np.zeros(len(KNOTS))
    for _ in range(_NEWTON_STEPS):
        probs = sigmoid(values + hats @ correction)
        gradient = hats.T @ (probs - targets) + precision @ correction
        curvature = (hats * (probs * (1.0 - probs))[:, None]).T @ hats + precision
        step = np.linalg.solve(curvature, gradient)
        correction -= step / max(1.0, float(np.abs(step).max()))
    corrected = KNOTS + correction
    for knot in range(1, len(KNOTS)):
        corrected[knot] = max(corrected[knot], corrected[knot - 1] + _LEAST_RISE)
    return replace(calibration, correction=tuple((corrected - KNOTS).tolist()), n_reviewed=len(checked))


def _hats(values: np.ndarray) -> np.ndarray:
    """Piecewise linear basis, shape (m, number of knots)."""
    return np.stack([np.interp(values, KNOTS, unit) for unit in np.eye(len(KNOTS))], axis=1)


def fit_calibration(scores: np.ndarray, targets: np.ndarray) -> Calibration:
    """Fit scores of shape (n,) to probabilities of shape (n,) by cross-entropy, with a faint pull of the slope to 1."""
    centre = float(scores.mean())
    # only the score counts, so rows of nearly the same one are taken together
    order = np.argsort(scores, kind="stable")
    starts = np.unique(np.linspace(0, len(order), _FIT_PLACES, endpoint=False).astype(np.int64))
    rows = np.diff(np.append(starts, len(order)))
    x = np.add.reduceat(scores[order], starts) / rows - centre
    targets = np.add.reduceat(targets[order], starts) / rows

    def loss(place: np.ndarray) -> float:
        values = np.exp(place[0]) * x + place[1]
        return float(rows @ (np.logaddexp(0.0, values) - targets * values)) + _FAINT * float(place[0]) ** 2

    # Fisher scoring for the logarithm of the slope and the height in the middle
    place, now = np.zeros(2), loss(np.zeros(2))
    for _ in range(_FIT_STEPS):
        along = np.exp(place[0]) * x
        probs = sigmoid(along + place[1])
        off, weight = rows * (probs - targets), rows * probs * (1.0 - probs)
        gradient = np.array([off @ along + 2 * _FAINT * place[0], off.sum()])
        across = weight @ along
        curvature = np.array([[weight @ along**2 + 2 * _FAINT, across], [across, weight.sum() + _TINY]])
        step = np.linalg.solve(curvature, gradient)
        if abs(place[0]) >= _FIT_BOUNDS[0] and step[0] * place[0] < 0:  # on the bound, and pulled out
            step = np.array([0.0, gradient[1] / curvature[1, 1]])
        step /= max(1.0, float(np.abs(step).max()))
        while (then := loss(_within(place - step))) > now and np.abs(step).max() > _FIT_PRECISION:
            step = 0.5 * step
        if np.abs(step).max() <= _FIT_PRECISION:
            break
        place, now = _within(place - step), then
    slope = float(np.exp(place[0]))
    return Calibration(slope, float(place[1]) - slope * centre)


def _within(place: np.ndarray) -> np.ndarray:
    return np.clip(place, -_FIT_BOUNDS, _FIT_BOUNDS)
