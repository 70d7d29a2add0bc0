"""From calibrated suspicion to what is worth a look."""

from __future__ import annotations

import numpy as np

_FEWEST = 1e-9


def review_threshold(suspicion: np.ndarray, *, precision: float | None = None) -> float:
    """Return the suspicion from which labels should be reviewed.

    Needs no labels of which is wrong: the expected number of wrong labels among any is the sum of their
    suspicions.

    Parameters
    ----------
    suspicion : ndarray of float, shape (n,)
        Calibrated probabilities.
    precision : float, optional
        Wanted share of wrong labels among those shown, in (0, 1]: the lowest threshold that keeps it. Default:
        the threshold with the highest expected F1 (Lipton, Elkan and Narayanaswamy, arXiv 1402.1892).

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
    found = np.cumsum(ordered)
    shown = np.arange(1, len(ordered) + 1)
    last = np.append(ordered[1:] < ordered[:-1], True)  # ties are shown together
    if precision is None:
        best = int(np.argmax(np.where(last, 2.0 * found / (shown + found[-1]), -1.0)))
        return float(max(ordered[best], _FEWEST))
    enough = np.flatnonzero(last & (found / shown >= precision))
    return float(max(ordered[enough[-1]], _FEWEST)) if len(enough) else 1.0


def expected_wrong(suspicion: np.ndarray) -> float:
    """Return the expected number of wrong labels."""
    return float(np.sum(suspicion, dtype=np.float64))
