"""From how unusual masks are to the probability that each is wrong, without any that was reviewed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaincc, gammaln

from ml.suspicion.noise import PRIOR_RATE

_IMAGINED = 20.0  # masks, of which the prior rate is wrong
# with their deviations: where the parameters of a set of which little is known are, the last two in logarithms
_MIDDLE = (1.5, 0.3)
_WIDTH = (float(np.log(0.9)), 0.1)
_REACH = (float(np.log(4.0)), 0.4)
_MOST = 0.5  # of a set may be wrong: beyond that what is usual is what is wrong
_FLOOR = 1e-300
_DEEP = 4.0  # widths below the middle there is nothing to tell
_EVENNESS = 1.5  # 1: a Gumbel distribution; the more, the closer to a normal one


@dataclass(frozen=True)
class TwoGroups:
    """Scores of right masks, and of wrong ones.

    The score of a right mask is that of the most unusual of many harmless parts: it has a distribution of extremes,
    here the log-gamma one, between Gumbel's and the normal one. A wrong mask has one part more, of an exponential
    distribution, and is noticed where that exceeds the harmless ones. So masks that are wrong and look like any other
    are counted, too. The probability of being wrong at a score is one minus the local false discovery rate
    (Efron, *Large-scale inference*, 2010, section 5).

    Attributes
    ----------
    middle, width : float
        Of the scores of right masks.
    reach : float
        Mean of the exponential distribution.
    rate : float
        Share of wrong masks, in (0, 0.5).
    """

    middle: float
    width: float
    reach: float
    rate: float

    @classmethod
    def fit(cls, scores: np.ndarray) -> TwoGroups:
        """Fit by penalised likelihood to scores of shape (n,), n > 0; few are drawn to what is usual elsewhere."""
        start = np.array([np.median(scores), _WIDTH[0], _REACH[0], _to_plane(PRIOR_RATE)])

        def loss(place: np.ndarray) -> float:
            groups = cls._at(place)
            right, wrong = groups._log_densities(scores)
            mixed = np.logaddexp(np.log1p(-groups.rate) + right, np.log(groups.rate) + wrong)
            prior = 0.5 * sum(
                ((value - mean) / spread) ** 2
                for value, (mean, spread) in zip(place[:3], (_MIDDLE, _WIDTH, _REACH), strict=True)
            )
            imagined = PRIOR_RATE * np.log(groups.rate) + (1 - PRIOR_RATE) * np.log1p(-groups.rate)
            return float(prior - _IMAGINED * imagined - mixed.sum())

        return cls._at(minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000}).x)

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Return the log-odds that masks with such scores are wrong, shape (n,); they grow with the score."""
        right, wrong = self._log_densities(scores)
        odds: np.ndarray = np.log(self.rate) - np.log1p(-self.rate) + wrong - right
        return odds

    @classmethod
    def _at(cls, place: np.ndarray) -> TwoGroups:
        middle, width, reach, rate = place
        narrow = float(np.exp(np.clip(width, -3.0, 3.0)))
        far = max(float(np.exp(np.clip(reach, -3.0, 4.0))), narrow)  # so that the odds grow with the score
        return cls(float(middle), narrow, far, float(_MOST / (1.0 + np.exp(-np.clip(rate, -30.0, 30.0)))))

    def _log_densities(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = np.maximum((scores - self.middle) / self.width, -_DEEP)
        rest = _EVENNESS * np.exp(-z)
        below = np.log(np.maximum(gammaincc(_EVENNESS, rest), _FLOOR))  # share of right masks that score less
        right = _EVENNESS * (np.log(_EVENNESS) - z) - rest - gammaln(_EVENNESS) - np.log(self.width)
        along = np.maximum(scores, 0.0) / self.reach
        noticed = below - along - np.log(self.reach)
        hidden = right + np.log(np.maximum(-np.expm1(-along), _FLOOR))
        return right, np.logaddexp(noticed, hidden)


def _to_plane(rate: float) -> float:
    return float(np.log(rate / (_MOST - rate)))
