"""What is left to do when nobody waits: complete the predictions, delete old ones, write the last differences."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from backend.project import DOUBT, Project
from backend.publish import Outcome, Publisher, publishing
from backend.snapshot import Snapshot

log = logging.getLogger(__name__)

# seconds after which a request of a process that was killed has been carried out, or never will be
LATE = 60.0


@dataclass(frozen=True)
class IdleWork:
    """The idle work of one project, with what it needs of the last refresh."""

    project: Project
    publisher: Publisher
    outcome: Outcome
    snapshot: Snapshot

    def step(self, interrupted: Callable[[], bool]) -> bool:
        """Go on until ``interrupted``, asked between two requests or masks, says so; return whether work is left."""
        publisher, outcome = self.publisher, self.outcome
        with publishing(self.project):
            publisher.write_rows(
                outcome.lineup, self.snapshot, exact=True, stop=interrupted, progress=_silent
            )
            if publisher.stream.complete(outcome.predictions, interrupted):
                return True
            publisher.switch(outcome.version)
            if interrupted() or publisher.stream.drop_old(outcome.version, interrupted):
                return True
            doubt = publisher.store.get_meta(DOUBT)
            if doubt and (
                time.time() - doubt < LATE or publisher.stream.drop_repeats(outcome.version, interrupted)
            ):
                return True
            publisher.store.set_meta(DOUBT, None)
        return False


def _silent(step: str, done: int, total: int) -> None:
    log.debug("idle: %s %d/%d", step, done, total)
