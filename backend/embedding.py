"""From image URIs to vectors and measures: fetch and decode what is new, look up the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from backend.casualties import Casualties
from backend.fetching import fetch_ahead
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.snapshot import Content, SnapshotStore
from backend.tally import IMAGES, count
from ml.acquisition.explore import lottery
from ml.embedders import Embedder, Streamed, embed_stream
from ml.images import ImageLimits
from ml.quality import MEASURES, measure, unreadable
from ml.vectors import VectorStore, content_key

log = logging.getLogger(__name__)

STORE_EVERY = 512
STORE_AFTER = 15.0  # seconds, where images come slowly
REPORT_EVERY = 32
RETRY_BROKEN_AFTER = 600.0
NO_IMAGE = "the task has no image"

Progress = Callable[[str, int, int], None]


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
            run = _Run(self, project_id, ready, kept, len(todo), progress)
            with self.casualties.watched() as careful:
                if careful:
                    contents.update(blamed := self.casualties.blame(project_id))
                    todo = [item for item in todo if item[1] not in blamed]
                    for item in self.casualties.one_by_one(todo):
                        self._stream(run, [item])
                    todo = [item for item in todo if item[1] not in run.contents]
                self._stream(run, todo)
            contents.update(run.contents)
            progress("embed", run.total, run.total)
        return self._collect(uris, contents)

    def _stream(self, run: _Run, todo: Sequence[tuple[int, str]]) -> None:
        with (
            closing(run.files(todo)) as files,
            closing(embed_stream(self.embedder, files, limits=self.limits, inspect=_look)) as stream,
        ):
            run.take(stream)

    def _embedded(self, contents: Mapping[str, Content]) -> set[str]:
        """Return the keys that have a vector."""
        known = [content.key for content in contents.values() if content.key]
        return {key for key, there in zip(known, self.vectors.has(known), strict=True) if there}

    def _collect(self, uris: Sequence[str | None], contents: Mapping[str, Content]) -> Embedded:
        entries = [contents.get(uri) if uri else None for uri in uris]
        keys = [entry.key if entry else None for entry in entries]
        errors = [None if entry and entry.key else (entry.error if entry else NO_IMAGE) for entry in entries]
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


def _look(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return measure(image, size=size)


@dataclass
class _Run:
    """One pass over images that are new; every method is called by one thread, but for ``fetch``.

    Attributes
    ----------
    ready : dict of str to Content
        By key: contents with a vector and measures, and those of this run that are no images.
    kept : collection of str
        URIs that have a vector already and keep it if they cannot be fetched now.
    contents : dict of str to Content
        By URI: the outcome so far.
    """

    room: EmbeddingRoom
    project_id: int
    ready: dict[str, Content]
    kept: Collection[str]
    total: int
    progress: Progress
    contents: dict[str, Content] = field(default_factory=dict)
    _waiting: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _unstored: dict[str, Content] = field(default_factory=dict)
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)
    _stored_at: float = field(default_factory=time.monotonic)

    def files(self, todo: Sequence[tuple[int, str]]) -> Generator[tuple[str, bytes], None, None]:
        """Yield the key and the bytes of each content once."""
        failures: dict[str, str] = {}

        def fetch(item: tuple[int, str]) -> bytes | None:
            task_id, uri = item
            try:
                return self.room.fetcher.fetch(uri, task_id, self.project_id)
            except ImageFetchError as error:
                failures[uri] = str(error)
                return None

        with closing(fetch_ahead(todo, fetch)) as fetched:
            for item, data in fetched:
                if data is None:
                    if item[1] not in self.kept:
                        self._note([item], Content(None, failures[item[1]], time.time()))
                    continue
                key = content_key(data)
                if key in self.ready:
                    self._note([item], self.ready[key])
                elif key in self._waiting:
                    self._waiting[key].append(item)
                else:
                    self._waiting[key] = [item]
                    yield key, data

    def take(self, stream: Iterable[Streamed[str]]) -> None:
        """Note what comes out of the stream, and store what is left when it ends."""
        try:
            for one in stream:
                if one.vector is None:
                    content = Content(None, str(one.error), time.time())
                else:
                    measures = np.asarray(one.seen, dtype="<f4").tobytes()
                    content = Content(one.key, None, time.time(), measures)
                    self._vectors[one.key] = one.vector
                    count(IMAGES, "embedded")
                self.ready[one.key] = content
                self._note(self._waiting.pop(one.key), content)
        finally:
            self._store()

    def _note(self, items: Sequence[tuple[int, str]], content: Content) -> None:
        """Note the outcome of some images, and store all that has gathered now and then."""
        for task_id, uri in items:
            if content.error:
                count(IMAGES, "broken")
                log.warning("project %d, task %d: %s", self.project_id, task_id, content.error)
            self.contents[uri] = self._unstored[uri] = content
            if len(self.contents) % REPORT_EVERY == 0:
                self.progress("embed", len(self.contents), self.total)
        if len(self._unstored) >= STORE_EVERY or time.monotonic() - self._stored_at > STORE_AFTER:
            self._store()

    def _store(self) -> None:
        if self._vectors:
            self.room.vectors.put(list(self._vectors), np.stack(list(self._vectors.values())))
        self.room.store.put_contents(self._unstored)
        self._vectors.clear()
        self._unstored.clear()
        self._stored_at = time.monotonic()
