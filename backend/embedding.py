"""From image URIs to vectors: fetch and decode what is new, look up the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.snapshot import Content, SnapshotStore
from ml.embedders import Embedder
from ml.images import ImageError, ImageLimits, decode
from ml.vectors import VectorStore, content_key

log = logging.getLogger(__name__)

BATCH = 256
FETCH_THREADS = 4
RETRY_BROKEN_AFTER = 600.0


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
    """

    keys: list[str | None]
    vectors: np.ndarray
    errors: list[str | None]

    @property
    def ok(self) -> np.ndarray:
        """Mask of shape (n,): which tasks have a vector."""
        return np.array([key is not None for key in self.keys], dtype=bool)


@dataclass(frozen=True)
class _Fetched:
    uri: str
    image: Image.Image | None
    content: Content


class EmbeddingRoom:
    """Turns image URIs into vectors, fetching each image once per embedder.

    Parameters
    ----------
    store : SnapshotStore
        Remembers which content is behind which URI.
    vectors : VectorStore
        Remembers the vector of each content.
    embedder : Embedder
    fetcher : ImageFetcher
    limits : ImageLimits
    """

    def __init__(
        self,
        store: SnapshotStore,
        vectors: VectorStore,
        embedder: Embedder,
        fetcher: ImageFetcher,
        limits: ImageLimits,
    ) -> None:
        self.store = store
        self.vectors = vectors
        self.embedder = embedder
        self.fetcher = fetcher
        self.limits = limits

    def embed(
        self,
        project_id: int,
        task_ids: Sequence[int],
        uris: Sequence[str | None],
        progress: Callable[[str, int, int], None],
    ) -> Embedded:
        """Return the vectors of tasks; a broken image costs only its own task.

        Raises
        ------
        LabelStudioError
            If Label Studio itself cannot be reached: nothing is marked as broken then.
        """
        contents = self.store.contents({uri for uri in uris if uri})
        todo = self._missing(task_ids, uris, contents)
        with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(todo), BATCH):
                progress("embed", start, len(todo))
                batch = todo[start : start + BATCH]
                fetched = list(pool.map(lambda item: self._fetch(project_id, *item), batch))
                self._store(fetched)
                contents.update({item.uri: item.content for item in fetched})
        if todo:
            progress("embed", len(todo), len(todo))
        return self._collect(uris, contents)

    def _missing(
        self, task_ids: Sequence[int], uris: Sequence[str | None], contents: dict[str, Content]
    ) -> list[tuple[int, str]]:
        known = [content.key for content in contents.values() if content.key]
        _, found = self.vectors.get(known)
        embedded = {key for key, there in zip(known, found, strict=True) if there}
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
            elif content.key not in embedded:
                todo[uri] = task_id
        return [(task_id, uri) for uri, task_id in todo.items()]

    def _fetch(self, project_id: int, task_id: int, uri: str) -> _Fetched:
        try:
            data = self.fetcher.fetch(uri, task_id, project_id)
            image = decode(data, limits=self.limits, shrink_to=self.embedder.image_size)
            return _Fetched(uri, image, Content(content_key(data), None, time.time()))
        except (ImageFetchError, ImageError) as error:
            log.warning("project %d, task %d: %s", project_id, task_id, error)
            return _Fetched(uri, None, Content(None, str(error), time.time()))

    def _store(self, fetched: Sequence[_Fetched]) -> None:
        images = {
            item.content.key: item.image for item in fetched if item.image is not None and item.content.key
        }
        if images:
            self.vectors.put([str(key) for key in images], self.embedder.embed(list(images.values())))
        self.store.put_contents({item.uri: item.content for item in fetched})

    def _collect(self, uris: Sequence[str | None], contents: dict[str, Content]) -> Embedded:
        entries = [contents.get(uri) if uri else None for uri in uris]
        keys = [entry.key if entry else None for entry in entries]
        errors = [
            None if entry and entry.key else (entry.error if entry else "the task has no image")
            for entry in entries
        ]
        X = np.zeros((len(uris), self.embedder.dim), dtype=np.float32)
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
        return Embedded(keys, X, errors)
