"""A refresher that does what it is told, for the tests of the workers."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

Progress = Callable[[str, int, int], None]


@dataclass
class Result:
    version: str = "choices-1-aaaaaaaa"
    labels: int = 12
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.1})
    not_for_the_status: str = "x"


class Refresher:
    """Remembers its calls; fails as often as told."""

    def __init__(self, projects: list[int] | None = None) -> None:
        self.projects = projects or []
        self.calls: list[tuple[int, frozenset[str]]] = []
        self.idle_calls: list[int] = []
        self.forgotten: list[int] = []
        self.idle_left = 0
        self.changed = True
        self.remembered: set[int] = set()
        self.failures: list[Exception] = []
        self.during: Callable[[Progress], Any] = lambda progress: None
        self.in_idle: Callable[[Callable[[], bool]], Any] = lambda interrupted: None

    def known_projects(self) -> list[int]:
        return self.projects

    def refresh(
        self,
        project_id: int,
        reasons: Collection[str],
        progress: Progress,
        begins: Callable[[], None] = lambda: None,
    ) -> Result:
        self.calls.append((project_id, frozenset(reasons)))
        if self.changed:
            self.remembered.discard(project_id)
            begins()
        self.during(progress)
        if self.failures:
            raise self.failures.pop(0)
        if self.changed:
            self.remembered.add(project_id)
        return Result()

    def remembers(self, project_id: int) -> bool:
        return project_id in self.remembered

    def idle_step(self, project_id: int, interrupted: Callable[[], bool]) -> bool:
        if project_id not in self.remembered:
            return False
        self.idle_calls.append(project_id)
        self.in_idle(interrupted)
        self.idle_left -= 1
        if self.idle_left <= 0:
            self.remembered.discard(project_id)
        return self.idle_left > 0

    def forget(self, project_id: int) -> None:
        self.forgotten.append(project_id)
        self.remembered.discard(project_id)
