"""What is normal in a set of masks: how strong the evidence against parts of them usually is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.suspicion.masks.findings import MaskFindings, Part

_IMAGINED_PARTS = 10.0  # of a pair of classes, as strong as those of all pairs
_USUAL, _IMAGINED = 0.4, 50.0  # strength of parts elsewhere, and how many parts that counts for
_FEW = 60.0  # masks, of which so many
_WRONG = 0.1  # may be wrong, and make a kind of parts look usual
_FADE = 4.0  # power by which that matters less where there are more masks
_LEAST_SCALE = 0.1  # where all evidence is faint, what is a little less faint is nothing to speak of
_LEAST_SPREAD = 0.1
_OWN = 0.7  # of a pair's scale in logarithms, the rest is that of all
_RARITY = 0.5
_SOFTMIN = 0.2
_MOST_SPREADS = 3.0
_LN2 = float(np.log(2.0))
_TINY = 1e-9

_Key = tuple[str, int, int]


@dataclass(frozen=True)
class Normal:
    """How strong the evidence against masks of a set usually is.

    Attributes
    ----------
    scale : float
        The usual strength, of an exponential distribution.
    pairs : dict
        By reason, given and wanted class: the usual strength, and the share of masks that have such a part.
    rare : float
        That share for what no mask has.
    softmin, spread : float
        Median of cleanlab's score, as minus its logarithm, and how much higher the upper quarter lies.
    """

    scale: float
    pairs: dict[_Key, tuple[float, float]]
    rare: float
    softmin: float
    spread: float

    @classmethod
    def of(cls, findings: Sequence[MaskFindings]) -> Normal:
        """Learn it from at least one mask.

        Medians and quartiles alone are used, so some wrong masks do little harm. In a small set all parts of a reason
        and pair of classes may be of wrong masks, and would pass for usual: so the strongest, of as many masks as may
        be wrong, are left out there, and where few are left, their strength elsewhere stands in.
        """
        strengths: dict[_Key, list[float]] = defaultdict(list)
        for found in findings:
            for part in found.parts:
                strengths[_key(part)].append(part.strength)
        every = [value for values in strengths.values() for value in values]
        typical = float(np.median(every)) / _LN2 if every else 0.0
        scale = (typical * len(every) + _USUAL * _IMAGINED) / (len(every) + _IMAGINED)
        scale = max(scale, _LEAST_SCALE)
        n = len(findings)
        few = min(1.0, (_FEW / n) ** _FADE)
        drawn_to = scale + few * (_USUAL - scale)
        pairs = {}
        for key, values in strengths.items():
            left = max(len(values) - _WRONG * n * few, 0.0)
            usual = sorted(values)[: int(np.ceil(left))]
            own = float(np.median(usual)) / _LN2 if usual else drawn_to
            shrunk = (own * left + drawn_to * _IMAGINED_PARTS) / (left + _IMAGINED_PARTS)
            pairs[key] = max(shrunk, _LEAST_SCALE), (len(values) + 1) / (n + 1)
        middle, upper = np.quantile(_softmins(findings), [0.5, 0.75])
        return cls(scale, pairs, 1 / (n + 1), float(middle), max(float(upper - middle), _LEAST_SPREAD))

    def unusual(self, part: Part) -> float:
        """Return how unusual a part is, from 0 up.

        Its strength beside what is usual, for its reason and pair of classes and for all, plus how rare such parts
        are: a model that takes poles for trees everywhere says little against trees. It grows like minus the
        logarithm of how many such parts to expect, if their strengths have an exponential tail.
        """
        scale, often = self.pairs.get(_key(part), (self.scale, self.rare))
        return float(part.strength / (scale**_OWN * self.scale ** (1 - _OWN)) - _RARITY * np.log(often))

    def score(self, findings: Sequence[MaskFindings]) -> tuple[np.ndarray, list[Part | None]]:
        """Return how unusual each mask is, shape (n,), and the most unusual part of each."""
        worst: list[Part | None] = []
        scores = np.zeros(len(findings))
        for row, found in enumerate(findings):
            values = [self.unusual(part) for part in found.parts]
            place = int(np.argmax(values)) if values else -1
            worst.append(found.parts[place] if values else None)
            scores[row] = values[place] if values else 0.0
        if len(findings):
            away = (_softmins(findings) - self.softmin) / self.spread
            scores += _SOFTMIN * np.clip(away, -_MOST_SPREADS, _MOST_SPREADS)
        return scores, worst


def _key(part: Part) -> _Key:
    return part.reason, part.given, part.wanted


def _softmins(findings: Sequence[MaskFindings]) -> np.ndarray:
    return -np.log(np.maximum([found.softmin for found in findings], _TINY))
