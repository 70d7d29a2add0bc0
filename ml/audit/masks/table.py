"""The findings on masks as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ml.audit.masks.findings import KEPT, SUSPECT, MaskAudit
from ml.audit.masks.words import what_is_wrong

_DIGITS = 4


def columns_of(audit: MaskAudit) -> dict[str, list[Any]]:
    """Return the table by columns, a row a mask, in the order of the set.

    ``softmin`` is cleanlab's score of the image, ``suspected`` the share of pixels of what is most suspicious,
    ``duplicates`` the number of the group of near-duplicates, and ``dice_...`` the Dice of each class; None where
    neither mask nor prediction has it.
    """
    rows = range(len(audit))
    parts = [audit.part(row) for row in rows]
    _, inverse, counts = np.unique(audit.groups, return_inverse=True, return_counts=True)
    return {
        "image": [scene.image for scene in audit.scenes],
        "split": [scene.split for scene in audit.scenes],
        "status": [SUSPECT if suspect else KEPT for suspect in audit.judgement.suspect],
        "suspicion": _rounded(audit.suspicion),
        "reason": [what_is_wrong(audit, row) for row in rows],
        "suspected": [0.0 if part is None else round(part.share, 6) for part in parts],
        "dice": _rounded(audit.dice),
        "softmin": _rounded(np.array([found.softmin for found in audit.findings])),
        "image_fault": audit.fault,
        "duplicates": [
            group if counts[place] > 1 else None
            for group, place in zip(audit.groups.tolist(), inverse.tolist(), strict=True)
        ],
        **{
            f"dice_{name}": _rounded(np.array([found.class_dice[number] for found in audit.findings]))
            for number, name in enumerate(audit.classes.names)
        },
    }


def write_jsonl(columns: dict[str, list[Any]], path: Path) -> None:
    """Write a row a line."""
    with path.open("w", encoding="utf-8") as file:
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rounded(values: np.ndarray) -> list[float | None]:
    return [round(value, _DIGITS) if np.isfinite(value) else None for value in values.tolist()]
