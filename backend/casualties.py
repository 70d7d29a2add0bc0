"""Which image ends the process that decodes it: a crash, or memory run out, would repeat at every restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from backend.jobs.lifeline import last_words
from backend.snapshot import Content, SnapshotStore

log = logging.getLogger(__name__)

# deaths in a row after which images are taken one at a time
DEATHS = 2
# deaths with the same image alone at work after which it is to blame: one may be a power cut
ALONE = 2
# images that may have been on their way when the process died
CAREFUL = 1024
WHY = "the process that decoded this image died of it; it is tried again in a day"
_DAY = 24 * 3600.0
EMBEDDING = "embedding"


class Casualties:
    """Remembers in a project's snapshot how often a pass over images did not end by itself, and what it was at.

    Parameters
    ----------
    store : SnapshotStore
    work : str
        What the pass does: deaths of one are none of another.
    """

    def __init__(self, store: SnapshotStore, work: str = EMBEDDING) -> None:
        self.store = store
        self._died, self._alone, self._at_work = (f"{work}_{what}" for what in ("deaths", "alone", "at_work"))

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Count a death that happens inside; gives whether to take images one at a time.

        That is so after some deaths, or after one of an image that was alone at work. An exception is no death, nor is
        the end of a worker that was asked to end.
        """
        deaths = int(self.store.get_meta(self._died) or 0)
        self.store.set_meta(self._died, deaths + 1)
        try:
            with last_words(lambda: self._no_death(deaths)):
                yield deaths >= DEATHS or self.store.get_meta(self._alone) is not None
        finally:
            self._no_death(0)

    def _no_death(self, deaths: int) -> None:
        self.store.set_meta(self._died, deaths)
        for name in (self._alone, self._at_work):
            if self.store.get_meta(name) is not None:
                self.store.set_meta(name, None)

    def at_work(self, uris: Sequence[str]) -> None:
        """Note which images are on their way now, the longest so first, where that is not the order of the list."""
        self.store.set_meta(self._at_work, [_short(uri) for uri in uris])

    def blame(self, project_id: int) -> dict[str, Content]:
        """Mark the image that was alone at work when the process died, more than once, as broken.

        Returns
        -------
        dict of URI to Content
            Of that image; empty where none is to blame.
        """
        uri, times = self._suspect()
        if uri is None or times < ALONE:
            return {}
        log.error("project %d: %s", project_id, WHY)
        blamed = {uri: Content(None, WHY, time.time() + _DAY)}
        self.store.put_contents(blamed)
        self.store.set_meta(self._alone, None)
        return blamed

    def one_by_one(self, todo: Sequence[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """Yield images, each noted as the one at work until the next is asked for.

        The suspected one comes first, then those that were on their way when the process died; at most 1,024.
        """
        suspect, times = self._suspect()
        ahead = {uri: place for place, uri in enumerate(self.store.get_meta(self._at_work) or ())}
        order = sorted(todo, key=lambda item: (item[1] != suspect, ahead.get(_short(item[1]), len(ahead))))
        if order:
            log.warning("%d images are taken one at a time: a process died embedding", len(order[:CAREFUL]))
        for task_id, uri in order[:CAREFUL]:
            self.store.set_meta(self._alone, {"uri": uri, "times": times + 1 if uri == suspect else 1})
            yield task_id, uri
            self.store.set_meta(self._alone, None)

    def _suspect(self) -> tuple[str | None, int]:
        noted = self.store.get_meta(self._alone)
        return (str(noted["uri"]), int(noted["times"])) if noted else (None, 0)


def _short(uri: str) -> str:
    # a data: URI may have megabytes
    return blake2b(uri.encode(), digest_size=8).hexdigest()
