"""From calibrated suspicion to what is worth a look."""

from __future__ import annotations

import numpy as np

_FEWEST = 1e-9
_HALF = 0.5  # a list of which less than half is expected to be wrong wastes its reviewer's time


def review_threshold(
    suspicion: np.ndarray, *, precision: float | None = None, checked: int = 0, found: int = 0
) -> float:
    """Return the suspicion from which labels should be reviewed.

    Needs no labels of which is wrong: the expected number of wrong labels among any is the sum of their
    suspicions.

    Parameters
    ----------
    suspicion : ndarray of float, shape (n,)
        Calibrated probabilities of labels that nobody has reviewed.
    precision : float, optional
        Wanted share of wrong labels among those shown, in (0, 1]: the lowest threshold that keeps it. Default:
        the threshold with the highest expected F1 (Lipton, Elkan and Narayanaswamy, arXiv 1402.1892) of those
        that keep a half.
    checked, found : int
        Labels reviewed before, and those of them that were wrong. They count in the F1, so that a review comes to
        its end instead of turning to ever less suspicious labels.

    Returns
    -------
    float
        In (0, 1]; 1 where no label reaches the wanted precision.

    Raises
    ------
    ValueError
        If ``precision`` is not in (0, 1].
    """
    if precision is not None and not 0 < precision <= 1:
        raise ValueError(f"the wanted precision must be above 0 and at most 1, got {precision}")
    if not len(suspicion):
        return 1.0
    ordered = np.sort(suspicion)[::-1].astype(np.float64)
    wrong = np.cumsum(ordered)
    shown = np.arange(1, len(ordered) + 1)
    last = np.append(ordered[1:] < ordered[:-1], True)  # ties are shown together
    enough = np.flatnonzero(last & (wrong / shown >= (_HALF if precision is None else precision)))
    if not len(enough):
        return 1.0
    if precision is not None:
        return _above(ordered, int(enough[-1]))
    f1 = 2.0 * (found + wrong) / (checked + shown + found + wrong[-1])
    best = enough[np.argmax(f1[enough])]
    if f1[best] <= 2.0 * found / max(checked + found + wrong[-1], _FEWEST):
        return 1.0
    return _above(ordered, int(best))


def _above(ordered: np.ndarray, last: int) -> float:
    """Return the middle between the last one shown and the next, so that a small change moves nothing."""
    following = float(ordered[last + 1]) if last + 1 < len(ordered) else 0.0
    return max(0.5 * (float(ordered[last]) + following), _FEWEST)


def expected_wrong(suspicion: np.ndarray) -> float:
    """Return the expected number of wrong labels."""
    return float(np.sum(suspicion, dtype=np.float64))
