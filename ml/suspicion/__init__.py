"""How suspect labels are. One module a kind of target, one registry line each; of masks it is `ml.suspicion.masks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml.suspicion.choices import judge
from ml.suspicion.judgement import Judgement, MultiJudgement
from ml.suspicion.multilabel import judge_multilabel

__all__ = ["JUDGES", "Judgement", "MultiJudgement", "make_judge"]

JUDGES: dict[str, Callable[..., Any]] = {"choices": judge, "multilabel": judge_multilabel}


def make_judge(kind: str) -> Callable[..., Any]:
    """Return the judge of a kind of target.

    Raises
    ------
    ValueError
        If there is none.
    """
    if kind not in JUDGES:
        raise ValueError(f"no judge for targets of kind {kind!r}: there are {', '.join(JUDGES)}")
    return JUDGES[kind]
