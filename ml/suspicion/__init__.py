"""How suspect labels are. One module a kind of target, one registry line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ml.suspicion.choices import judge
from ml.suspicion.judgement import Judgement, MultiJudgement
from ml.suspicion.multilabel import judge_multilabel

__all__ = ["JUDGES", "Judgement", "MultiJudgement", "make_judge"]


def judge_masks(*args: Any, **options: Any) -> Any:
    """Judge masks, as `ml.suspicion.masks.judge.judge_masks`; what that needs is loaded when it is called."""
    from ml.suspicion.masks.judge import judge_masks

    return judge_masks(*args, **options)


JUDGES: dict[str, Callable[..., Any]] = {
    "choices": judge,
    "multilabel": judge_multilabel,
    "segmentation": judge_masks,
}


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
