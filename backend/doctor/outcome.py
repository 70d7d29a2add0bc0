"""What a check found: a status, one line, and a one-line fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes
    ----------
    level : 'ok', 'warning', 'failure' or 'skipped'
        A warning is worth knowing, a failure keeps something from working; what was not looked at is skipped.
    line : str
        What was found, in one line.
    fix : str
        What to do about it; empty where there is nothing to do.
    """

    level: Level
    line: str
    fix: str = ""


def ok(line: str) -> Outcome:
    """Return that all is well."""
    return Outcome("ok", line)


def warning(line: str, fix: str) -> Outcome:
    """Return something that works, but not as it might."""
    return Outcome("warning", line, fix)


def failure(line: str, fix: str) -> Outcome:
    """Return something that does not work."""
    return Outcome("failure", line, fix)


def skipped(line: str, fix: str = "") -> Outcome:
    """Return that there was nothing to look at, or no way to."""
    return Outcome("skipped", line, fix)
