"""The task fields Lineup keeps: their names, their fixed-point values, and which differences are worth a write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

PRIORITY, SUSPICION, SUGGESTION, CONFIDENCE, REASON = FIELDS = (
    "priority",
    "suspicion",
    "suggestion",
    "confidence",
    "reason",
)
NUMBERS = frozenset({PRIORITY, SUSPICION, CONFIDENCE})

# steps between neighbours at the head: the Data Manager shows three decimals, a long head needs four
HEAD_STEP, LONG_HEAD_STEP = 0.001, 0.0001
LONG_HEAD = 100
TAIL_TOP = 0.9
TAIL_LEVELS = 20
CONFIDENCE_STEP = 0.05
# a routine refresh leaves a number alone that moved by less than this; an idle one writes every difference
TOLERANCE = {PRIORITY: 1.5 * TAIL_TOP / TAIL_LEVELS, SUSPICION: 0.05, CONFIDENCE: 0.075}


@dataclass(frozen=True, slots=True)
class Row:
    """What Lineup says of one task. Numbers are in [0, 1]."""

    priority: float = 0.0
    suspicion: float = 0.0
    suggestion: str = ""
    confidence: float = 0.0
    reason: str = ""


def rank_priorities(n: int, head: int) -> np.ndarray:
    """Turn positions in the queue into priorities: exact at the head, coarse in the tail.

    Parameters
    ----------
    n : int
        Number of ranked tasks.
    head : int
        How many leading positions get a value of their own.

    Returns
    -------
    ndarray of shape (n,)
        Descending, in (0, 1); four decimals, so that text order equals numeric order.
    """
    step = HEAD_STEP if head < LONG_HEAD else LONG_HEAD_STEP
    priorities = 1.0 - step * (1 + np.arange(n, dtype=float))
    tail = max(n - head, 0)
    if tail:
        level = np.arange(tail) * TAIL_LEVELS // tail
        priorities[head:] = TAIL_TOP * (1.0 - level / TAIL_LEVELS)
    return np.round(priorities, 4)


def quantise(values: np.ndarray, step: float) -> np.ndarray:
    """Round to a multiple of ``step`` in [0, 1], at four decimals.

    Raises
    ------
    ValueError
        If a value is not finite: a NaN in a task field would break the order of the whole table.
    """
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number; nothing is written")
    return np.round(np.clip(np.round(values / step) * step, 0.0, 1.0), 4)


def differences(
    wanted: Mapping[int, Row],
    present: Mapping[int, Mapping[str, object]],
    prefix: str,
    *,
    exact: bool,
    threshold: float,
    head: Sequence[int] = (),
) -> list[tuple[str, dict[int, float | str]]]:
    """Return full field names and values to write, in the order in which they matter to people.

    First of all come tasks that enter or leave *Review suspects*: whoever reviews must see what is done go.

    Parameters
    ----------
    wanted : mapping of task id to Row
    present : mapping of task id to the task's data as it is in Label Studio
    prefix : str
        Prefix of the field names.
    exact : bool
        False leaves alone numbers that moved by less than their tolerance.
    threshold : float
        Suspicion at which a task enters *Review suspects*; crossing it is always written.
    head : sequence of int
        Task ids whose priority is always written exactly.
    """
    in_head = set(head)
    moved: dict[int, float | str] = {}
    changes: dict[str, dict[int, float | str]] = {prefix + name: {} for name in FIELDS}
    for task_id, row in wanted.items():
        data = present[task_id]
        for name in FIELDS:
            new, old = getattr(row, name), data.get(prefix + name)
            if new == old:
                continue
            shown = _is_number(old) and old >= threshold  # type: ignore[operator]
            if name == SUSPICION and (new >= threshold) != shown:
                moved[task_id] = new
                continue
            if name in NUMBERS and not exact and _is_number(old):
                ended = (new == 0) != (old == 0)
                placed = name == PRIORITY and (task_id in in_head or old > TAIL_TOP)  # type: ignore[operator]
                small = abs(new - old) < TOLERANCE[name]
                if small and not (ended or placed):
                    continue
            changes[prefix + name][task_id] = new
    return [(name, values) for name, values in ((prefix + SUSPICION, moved), *changes.items()) if values]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
