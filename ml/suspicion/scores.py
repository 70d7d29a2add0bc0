"""How badly a label fits out-of-sample probabilities: one number a row, the larger the worse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ml.suspicion.noise import NoiseModel

DEFAULT = "posterior"
_CLEANLAB = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
_TINY = 1e-7


def logit(probs: np.ndarray) -> np.ndarray:
    """Return log-odds, finite for 0 and 1."""
    clipped = np.clip(np.asarray(probs, dtype=np.float64), _TINY, 1.0 - _TINY)
    odds: np.ndarray = np.log(clipped) - np.log1p(-clipped)
    return odds


def posterior(labels: np.ndarray, log_probs: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """Return the average log-odds of being wrong by the noise model and by self-confidence, shape (n,).

    The noise model tells noise from ambiguity where noise is strong, self-confidence orders better where it is
    weak; their average was at least as good as the better of the two on all four noise levels of CIFAR-10N.
    """
    own = np.exp(log_probs[np.arange(len(labels)), labels].astype(np.float64))
    return 0.5 * (logit(noise.wrong(labels, log_probs)) - logit(own))


def log_margin(labels: np.ndarray, log_probs: np.ndarray, noise: NoiseModel) -> np.ndarray:
    """Return the log-probability of the best other class minus the label's, shape (n,)."""
    rows = np.arange(len(labels))
    own = log_probs[rows, labels].astype(np.float64)
    others = log_probs.copy()
    others[rows, labels] = -np.inf
    margin: np.ndarray = others.max(axis=1) - own
    return margin


def _cleanlab(method: str) -> Callable[[np.ndarray, np.ndarray, NoiseModel], np.ndarray]:
    def score(labels: np.ndarray, log_probs: np.ndarray, noise: NoiseModel) -> np.ndarray:
        from cleanlab.rank import get_label_quality_scores

        probs = np.exp(log_probs.astype(np.float64))
        probs /= probs.sum(axis=1, keepdims=True)
        return -logit(get_label_quality_scores(labels, probs, method=method))

    score.__doc__ = f"Return the log-odds of one minus cleanlab's {method}, shape (n,)."
    return score


SCORES: dict[str, Callable[[np.ndarray, np.ndarray, NoiseModel], np.ndarray]] = {
    DEFAULT: posterior,
    "log_margin": log_margin,
    **{method: _cleanlab(method) for method in _CLEANLAB},
}


def make_score(name: str) -> Callable[[np.ndarray, np.ndarray, NoiseModel], np.ndarray]:
    """Return a score by name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in SCORES:
        raise ValueError(f"no suspicion score {name!r}: there are {', '.join(SCORES)}")
    return SCORES[name]
