"""What is wrong with a mask, in words."""

from __future__ import annotations

from dataclasses import dataclass

from ml.audit.masks.findings import MaskAudit
from ml.suspicion.masks import Part
from ml.suspicion.masks.edits import EXTRA, MISSING, WRONG

_LEAST = 0.0005  # of a mask: half of the last digit that is shown


@dataclass(frozen=True, slots=True)
class Change:
    """A class of a mask: the share of its pixels as given, and as predicted."""

    number: int
    name: str
    given: float
    predicted: float


def what_is_wrong(audit: MaskAudit, row: int) -> str:
    """Return the reason, with the classes it is about: ``wrong class: cat, perhaps dog``."""
    reason, part = audit.judgement.reason[row], audit.part(row)
    return reason if part is None or part.reason != reason else f"{reason}: {_about(audit, part)}"


def _about(audit: MaskAudit, part: Part) -> str:
    names, drawn = audit.classes.names, audit.classes.drawn.values()
    if part.reason in (WRONG, EXTRA) and part.wanted in drawn:
        return f"{names[part.given]}, perhaps {names[part.wanted]}"
    if part.reason == MISSING and part.given in drawn:
        return f"{names[part.wanted]}, given as {names[part.given]}"
    return names[part.number]


def changes(audit: MaskAudit, row: int) -> list[Change]:
    """Return the classes people draw that mask or prediction have, those whose share differs most first."""
    given, predicted = audit.findings[row].label_shares, audit.findings[row].shares
    found = [
        Change(number, name, given[number], predicted[number])
        for name, number in audit.classes.drawn.items()
        if max(given[number], predicted[number]) >= _LEAST
    ]
    return sorted(found, key=lambda one: -abs(one.given - one.predicted))
