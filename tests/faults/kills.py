"""When to kill, and what the kill hit."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from backend.status import Status, read_status
from demo.lineup import LineupServer

# what a refresh tells, in this order; the first and the last are told by nothing
STEPS = (
    "read",
    "embed",
    "look",
    "learn",
    "order",
    "publish predictions",
    "switch",
    "publish fields",
    "tabs",
    "idle work",
)
TICK = 0.002
PATIENCE = 60.0


@dataclass(frozen=True)
class Moment:
    """A moment of a refresh: so many seconds after it began, or after one of its steps did."""

    seconds: float
    step: str = ""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s after {self.step or 'its begin'}"


def moments(rng: random.Random, count: int, length: float) -> list[Moment]:
    """Return moments in a random order: half of them over the length of a refresh, half of them within its steps.

    Those of the first half are drawn from a part of the length each, so that together they cover it.
    """
    half = (count + 1) // 2
    spread = [Moment((part + rng.random()) * length / half) for part in range(half)]
    steps = [STEPS[number % len(STEPS)] for number in range(count - half)]
    found = spread + [Moment(rng.random() * 0.05, step) for step in steps]
    rng.shuffle(found)
    return found


def await_moment(lineup: LineupServer, project_id: int, moment: Moment, since: float) -> str:
    """Wait for a moment of the next refresh that begins after ``since``; return what the project is at then."""
    for status in _statuses(lineup, project_id):
        if status.state == "running" and (status.started_at or 0) > since:
            begun = status.started_at or 0
            break
    if moment.step and moment.step != "read":
        for status in _statuses(lineup, project_id):
            if step_of(status) in (moment.step, "idle work"):  # a refresh need not have every step
                break
        time.sleep(moment.seconds)
    else:
        time.sleep(max(0.0, begun + moment.seconds - time.time()))
    return step_of(read_status(lineup.settings.project_dir(project_id)))


def step_of(status: Status) -> str:
    """Return what a project is at; after a refresh it is idle work, or nothing."""
    return (status.step or "read") if status.state == "running" else "idle work"


def _statuses(lineup: LineupServer, project_id: int) -> Iterator[Status]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield read_status(lineup.settings.project_dir(project_id))
        time.sleep(TICK)
    raise AssertionError(
        f"no such moment came; {lineup.log_path} ends with {lineup.log_path.read_text()[-2000:]}"
    )
