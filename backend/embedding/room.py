"""From image URIs to vectors and measures: fetch and decode what is new, look up the rest."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backend.casualties import Casualties
from backend.embedding.engines import Engine
from backend.embedding.intake import Intake, Progress
from backend.embedding.local import LocalEngine
from backend.embedding.stage import EmbeddingStage
from backend.snapshot import Content, SnapshotStore
from ml.acquisition.explore import lottery
from ml.quality import MEASURES, unreadable
from ml.vectors import VectorStore

RETRY_BROKEN_AFTER = 600.0
NO_IMAGE = "the task has no image"


@dataclass(frozen=True)
class Embedded:
    """Vectors of a list of tasks.

    Attributes
    ----------
    keys : list of str or None, length n
        Content digest of each image; None where it cannot be used.
    vectors : ndarray of float32, shape (n, d)
        Zero where ``keys`` is None.
    errors : list of str or None, length n
        Why an image cannot be used.
    measures : ndarray of float32, shape (n, 7)
        Of `ml.quality.measure`; NaN where an image cannot be used or has not been measured.
    """

    keys: list[str | None]
    vectors: np.ndarray
    errors: list[str | None]
    measures: np.ndarray

    @property
    def ok(self) -> np.ndarray:
        """Mask of shape (n,): which tasks have a vector."""
        return np.array([key is not None for key in self.keys], dtype=bool)

    @cached_property
    def drawn(self) -> np.ndarray:
        """Each task's number in the lottery by which exploration goes, shape (n,); inf without a vector."""
        drawn = np.full(len(self.keys), np.inf)
        drawn[self.ok] = lottery([key for key in self.keys if key is not None])
        return drawn


class EmbeddingRoom:
    """Turns image URIs into vectors, fetching each image once per embedder.

    Parameters
    ----------
    store : SnapshotStore
        Remembers which content is behind which URI, and what it measures.
    vectors : VectorStore
        Remembers the vector of each content.
    stage : EmbeddingStage
        Fetches and embeds.
    engine : Engine, optional
        Where that is done; None: in this process.
    """

    def __init__(
        self,
        store: SnapshotStore,
        vectors: VectorStore,
        stage: EmbeddingStage,
        engine: Engine | None = None,
    ) -> None:
        self.store = store
        self.vectors = vectors
        self.stage = stage
        self.engine = engine or LocalEngine()
        self.casualties = Casualties(store)

    def embed(
        self,
        project_id: int,
        task_ids: Sequence[int],
        uris: Sequence[str | None],
        progress: Progress,
        *,
        measure_all: bool = False,
    ) -> Embedded:
        """Return the vectors of tasks; a broken image costs only its own task.

        What is done is stored every 512 images or 15 seconds, and when something ends it early.

        Parameters
        ----------
        measure_all : bool
            Fetch images again whose vectors are known but not their measures.

        Raises
        ------
        LabelStudioError
            If Label Studio itself cannot be reached: nothing is marked as broken for that.
        """
        contents = self.store.contents({uri for uri in uris if uri})
        embedded = self._embedded(contents)
        todo = _missing(task_ids, uris, contents, embedded, measure_all)
        if todo:
            progress("embed", 0, len(todo))
            # what is fetched under another URI needs its measures, too
            ready = {str(c.key): c for c in contents.values() if c.measures and c.key in embedded}
            kept = {uri for _, uri in todo if uri in contents and contents[uri].key in embedded}
            intake = Intake(
                self.stage,
                project_id,
                self.store,
                self.vectors,
                self.casualties,
                ready,
                kept,
                len(todo),
                progress,
            )
            with self.casualties.watched() as careful:
                if careful:
                    contents.update(blamed := self.casualties.blame(project_id))
                    todo = [item for item in todo if item[1] not in blamed]
                    intake.alone(todo)
                    todo = intake.left(todo)
                self.engine.embed(intake, todo)
            contents.update(intake.contents)
            progress("embed", intake.total, intake.total)
        return self._collect(uris, contents)

    def _embedded(self, contents: Mapping[str, Content]) -> set[str]:
        """Return the keys that have a vector."""
        known = [content.key for content in contents.values() if content.key]
        return {key for key, there in zip(known, self.vectors.has(known), strict=True) if there}

    def _collect(self, uris: Sequence[str | None], contents: Mapping[str, Content]) -> Embedded:
        entries = [contents.get(uri) if uri else None for uri in uris]
        keys = [entry.key if entry else None for entry in entries]
        errors = [None if entry and entry.key else (entry.error if entry else NO_IMAGE) for entry in entries]
        X = np.zeros((len(uris), self.stage.embedder.dim), dtype=np.float32)
        rows = [row for row, key in enumerate(keys) if key]
        if rows:
            vectors, found = self.vectors.get([str(keys[row]) for row in rows])
            X[rows] = vectors
            for row, there in zip(rows, found, strict=True):
                if not there:
                    keys[row], errors[row] = (
                        None,
                        "its vector is missing; it is embedded again at the next refresh",
                    )
        nothing = unreadable().astype("<f4").tobytes()
        taken = (entry.measures if entry and entry.measures else nothing for entry in entries)
        measures = np.frombuffer(b"".join(taken), dtype="<f4").reshape(-1, len(MEASURES)).astype(np.float32)
        return Embedded(keys, X, errors, measures)


def _missing(
    task_ids: Sequence[int],
    uris: Sequence[str | None],
    contents: Mapping[str, Content],
    embedded: Collection[str],
    measure_all: bool,
) -> list[tuple[int, str]]:
    """Return (task id, URI) of what is to be fetched, each URI once."""
    retry_before = time.time() - RETRY_BROKEN_AFTER
    todo: dict[str, int] = {}
    for task_id, uri in zip(task_ids, uris, strict=True):
        if not uri or uri in todo:
            continue
        content = contents.get(uri)
        if content is None:
            todo[uri] = task_id
        elif content.key is None:
            if content.tried_at < retry_before:
                todo[uri] = task_id
        elif content.key not in embedded or (measure_all and not content.measures):
            todo[uri] = task_id
    return [(task_id, uri) for uri, task_id in todo.items()]
