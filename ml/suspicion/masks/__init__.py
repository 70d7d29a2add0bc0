"""How suspect masks are: what a prediction would change in each, and how unusual that is in the set."""

from __future__ import annotations

from ml.suspicion.masks.edits import REASONS
from ml.suspicion.masks.findings import MaskFindings, Part
from ml.suspicion.masks.judge import MaskJudgement, judge_masks
from ml.suspicion.masks.look import judge_mask

__all__ = ["REASONS", "MaskFindings", "MaskJudgement", "Part", "judge_mask", "judge_masks"]
