"""Name the other task in the reason of a near-duplicate that is labelled differently."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.suspicion.reasons import DUPLICATE


def name_twins(reasons: Sequence[str], twin: np.ndarray, ids: np.ndarray) -> list[str]:
    """Return the reasons, with the task's id where it is that of a duplicate.

    Parameters
    ----------
    reasons : sequence of str, length m
    twin : ndarray of int, shape (m,)
        The duplicate of each, by position; -1 where there is none.
    ids : ndarray of int, shape (m,)
        Task ids.
    """
    return [
        f"{reason}: task {ids[other]}" if reason == DUPLICATE and other >= 0 else reason
        for reason, other in zip(reasons, twin.tolist(), strict=True)
    ]
