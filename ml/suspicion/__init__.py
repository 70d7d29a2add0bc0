"""How suspect labels are. One module a kind of target, one registry line each."""

from __future__ import annotations

from collections.abc import Callable

from ml.suspicion.choices import Judgement, judge

__all__ = ["JUDGES", "Judgement", "make_judge"]

JUDGES: dict[str, Callable[..., Judgement]] = {"choices": judge}


def make_judge(kind: str) -> Callable[..., Judgement]:
    """Return the judge of a kind of target.

    Raises
    ------
    ValueError
        If there is none.
    """
    if kind not in JUDGES:
        raise ValueError(f"no judge for targets of kind {kind!r}: there are {', '.join(JUDGES)}")
    return JUDGES[kind]
