"""One pass over images that are new: what came of them is gathered, counted and stored as it comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.casualties import Casualties
from backend.embedding.stage import EmbeddingStage, Item
from backend.snapshot import Content, SnapshotStore
from backend.tally import IMAGES, count
from ml.vectors import VectorStore

log = logging.getLogger(__name__)

STORE_EVERY = 512
STORE_AFTER = 15.0  # seconds, where images come slowly
REPORT_EVERY = 32

Progress = Callable[[str, int, int], None]


@dataclass
class Intake:
    """What an engine is given to work with, and tells of; used by one thread.

    Attributes
    ----------
    stage : EmbeddingStage
        For the work that is done in this process.
    project_id : int
    store : SnapshotStore
    vectors : VectorStore
    casualties : Casualties
    ready : dict of str to Content
        By key: contents with a vector and measures, and those of this pass that are no images.
    kept : collection of str
        URIs that have a vector already and keep it if they cannot be fetched now.
    total : int
        Images there are to do, for the progress.
    progress : callable
        May raise, to end the pass.
    contents : dict of str to Content
        By URI: the outcome so far.
    """

    stage: EmbeddingStage
    project_id: int
    store: SnapshotStore
    vectors: VectorStore
    casualties: Casualties
    ready: dict[str, Content]
    kept: Collection[str]
    total: int
    progress: Progress
    contents: dict[str, Content] = field(default_factory=dict)
    _unstored: dict[str, Content] = field(default_factory=dict)
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)
    _stored_at: float = field(default_factory=time.monotonic)

    def here(self, lots: Iterable[Sequence[Item]]) -> None:
        """Embed images in this process, and store what there is when that ends, however it does."""
        try:
            self.stage.run(self.project_id, lots, self.note, ready=self.ready, kept=self.kept)
        finally:
            self.flush()

    def alone(self, items: Sequence[Item]) -> None:
        """Embed images in this process one at a time, each noted as the one at work: any may be deadly."""
        for item in self.casualties.one_by_one(items):
            self.here([[item]])

    def left(self, items: Iterable[Item]) -> list[Item]:
        """Return the images of which nothing has come yet."""
        return [item for item in items if item[1] not in self.contents]

    def note(self, items: Sequence[Item], content: Content, vector: np.ndarray | None = None) -> None:
        """Take the outcome of images with the same content, and store all that has gathered now and then.

        Parameters
        ----------
        vector : ndarray of shape (d,), optional
            None: there is none, or the vector store has it.
        """
        if content.key and content.key not in self.ready:
            count(IMAGES, "embedded")
            self.ready[content.key] = content
        if content.key and vector is not None:
            self._vectors[content.key] = vector
        for task_id, uri in items:
            if content.error:
                count(IMAGES, "broken")
                log.warning("project %d, task %d: %s", self.project_id, task_id, content.error)
            self.contents[uri] = self._unstored[uri] = content
            if len(self.contents) % REPORT_EVERY == 0:
                self.report()
        if len(self._unstored) >= STORE_EVERY or time.monotonic() - self._stored_at > STORE_AFTER:
            self.flush()

    def report(self) -> None:
        """Tell how far it is; raises where the pass is to end."""
        self.progress("embed", len(self.contents), self.total)

    def flush(self) -> None:
        """Store what has gathered: vectors first, so that no content is known without its vector."""
        if self._vectors:
            self.vectors.put(list(self._vectors), np.stack(list(self._vectors.values())))
        self.store.put_contents(self._unstored)
        self._vectors.clear()
        self._unstored.clear()
        self._stored_at = time.monotonic()
