"""Refreshes of projects whose state is shared: each one begins with what the last one left, wherever that was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from backend.jobs.base import LeaseLost, Stopped
from backend.jobs.running import Progress, Result
from backend.shared.bucket import SharedFolderError
from backend.shared.folder import SharedFolder
from backend.shared.project import SharedProject

if TYPE_CHECKING:
    from backend.embedding.parts import EmbeddingParts
    from backend.jobs.distributed.worker import Parts

log = logging.getLogger(__name__)


class SharedRefreshes:
    """Runs another one's refreshes between taking a project's state from the store and giving it back.

    Parameters
    ----------
    inner : Parts
    shared : SharedFolder
    alone : bool
        Whether no lease keeps other machines from the projects, so that somebody else's state means trouble.
    """

    def __init__(self, inner: Parts, shared: SharedFolder, *, alone: bool) -> None:
        self._inner = inner
        self._shared = shared
        self._alone = alone
        self._taken: set[int] = set()

    def known_projects(self) -> list[int]:
        """Return the projects that any machine is connected to."""
        return self._inner.known_projects()

    def parts(self, project_id: int, backbone: str | None) -> EmbeddingParts:
        """Return what embeds shards of other workers' refreshes, and where their vectors go."""
        return self._inner.parts(project_id, backbone)

    def refresh(
        self,
        project_id: int,
        reasons: Collection[str],
        progress: Progress,
        begins: Callable[[], None] = lambda: None,
    ) -> Result:
        """Refresh a project; ``progress`` raises where this worker may not go on, or push.

        Where nothing had changed nothing is pushed: the turn of whoever has idle work left goes on.
        """
        project = self._shared.project(project_id)
        self._take(project)
        last, worked = ("read", 0, 1), False

        def work() -> None:
            nonlocal worked
            begins()
            worked = True

        def report(step: str, done: int, total: int) -> None:
            nonlocal last
            last = (step, done, total)
            progress(*last)
            if worked:
                project.turns.keep()

        def check() -> None:
            with suppress(Stopped):  # what has ended is not put off
                progress(*last)

        try:
            result = self._inner.refresh(project_id, reasons, report, work)
        except LeaseLost:
            raise
        except Exception:
            if worked:
                self._save(project, check)
            raise
        if not worked:
            return result
        check()
        project.turns.push()
        return result

    def idle_step(self, project_id: int, interrupted: Callable[[], bool]) -> bool:
        """Do a piece of idle work, and push what it came to."""
        more = self._inner.idle_step(project_id, interrupted)
        # should the project be another one's by now, its turn is the higher one
        self._shared.project(project_id).turns.push()
        return more

    def remembers(self, project_id: int) -> bool:
        """Tell whether idle work of a project is left that this process has what it needs for."""
        return self._inner.remembers(project_id)

    def forget(self, project_id: int) -> None:
        """Drop what is known of a project from the last refresh here."""
        self._inner.forget(project_id)

    def _take(self, project: SharedProject) -> None:
        if project.take():
            self._inner.forget(project.id)
            if self._alone and project.id in self._taken:
                log.error(
                    "project %d: another Lineup without REDIS_URL has written to the same MODEL_DIR: both do all work, "
                    "and undo each other's. Stop one of them, or set REDIS_URL for both",
                    project.id,
                )
        self._taken.add(project.id)

    def _save(self, project: SharedProject, check: Callable[[], None]) -> None:
        """Push what a refresh came to that did not end, if this worker may: its successor need not do it again."""
        try:
            check()
            project.turns.push()
        except (LeaseLost, SharedFolderError) as error:
            log.warning("project %d: what was done stays on this machine for now: %s", project.id, error)
