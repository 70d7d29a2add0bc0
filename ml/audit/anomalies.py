"""Which of an image's numbers are out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ml.audit.statistics import GREY_ENTROPY

CUT = 3.5  # Iglewicz and Hoaglin's
_MAD_TO_DEVIATION = 1.4826
_MEAN_TO_DEVIATION = 1.2533
_TINY = 1e-6

LOW, HIGH, BOTH = -1, 1, 0


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _log_odds(values: np.ndarray) -> np.ndarray:
    clipped = np.clip(values, _TINY, 1.0 - _TINY)
    odds: np.ndarray = np.log(clipped) - np.log1p(-clipped)
    return odds


def _log(values: np.ndarray) -> np.ndarray:
    logs: np.ndarray = np.log(np.maximum(values, _TINY))
    return logs


# on which scale a statistic is even enough for a z-score, and on which side it is bad. The loss says what the
# self-confidence does, so it has none; nor has the outlier score, which is one already
RULES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "self_confidence": (_log_odds, LOW),
    "margin": (_same, LOW),
    "entropy": (_log, HIGH),
    "disagreement": (_log, HIGH),
    "class_distance": (_same, HIGH),
    "neighbour_agreement": (_log_odds, LOW),
    "width": (_log, BOTH),
    "height": (_log, BOTH),
    "brightness_p99": (_same, LOW),
    "brightness_p5": (_same, HIGH),
    "edges": (_log, LOW),
    GREY_ENTROPY: (_same, LOW),
}
_EPS, _TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
_OUT = 0.5  # of the outlier score


def modified_z(values: np.ndarray) -> np.ndarray:
    """Return how many deviations each value lies from the median, by robust estimates; 0 for NaN.

    Iglewicz and Hoaglin's modified z-score (How to Detect and Handle Outliers, ASQC 1993): deviations are
    estimated by the median absolute deviation, or where that is zero by the mean absolute deviation; above and
    below the median by themselves, since most of these distributions are skewed.

    Parameters
    ----------
    values : ndarray of float, shape (n,)
    """
    off = np.where(np.isfinite(values), values, np.nan)
    if not np.isfinite(off).any():
        return np.zeros(len(values))
    off = off - np.nanmedian(off)
    z = np.zeros(len(values))
    for side in (off > 0, off < 0):
        reach = np.abs(off[side])
        # values at the median belong to both sides
        level = np.concatenate([reach, np.zeros(int((off == 0).sum()))])
        if not len(reach):
            continue
        deviation = _MAD_TO_DEVIATION * float(np.median(level))
        # what rounding alone may leave is no deviation
        if deviation <= _EPS * float(reach.max()):
            deviation = _MEAN_TO_DEVIATION * float(level.mean())
        if deviation >= _TINY:
            z[side] = off[side] / deviation
    return z


def find_anomalies(statistics: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Return for each image the names of its statistics that are out of the ordinary on the side that is bad.

    A modified z-score beyond 3.5, of probabilities on the scale of log-odds; for ``outlier`` a half, which is
    Tukey's fence.

    Parameters
    ----------
    statistics : mapping of str to ndarray of float, shape (n,)
        Of `ml.audit.statistics.measure_rows`.
    """
    n = len(next(iter(statistics.values())))
    names: list[list[str]] = [[] for _ in range(n)]
    for name, values in statistics.items():
        for row in np.flatnonzero(_out(name, values)).tolist():
            names[row].append(name)
    return names


def _out(name: str, values: np.ndarray) -> np.ndarray:
    if name == "outlier":
        return values >= _OUT
    if name not in RULES:
        return np.zeros(len(values), dtype=bool)
    scale, side = RULES[name]
    z = modified_z(np.where(np.isfinite(values), scale(values), np.nan))
    out: np.ndarray = (np.abs(z) if side == BOTH else side * z) > CUT
    return out
