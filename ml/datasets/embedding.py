"""Vectors, content keys and image measures of a dataset on disk, each image read and embedded once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ml.datasets.example import Dataset, DatasetError, Example, Problem, list_problems, unusable
from ml.datasets.file_cache import FileCache, FileContent, FileState
from ml.embedders import Embedder, Streamed, embed_stream
from ml.images import ImageLimits
from ml.quality import MEASURES, measure
from ml.vectors import VectorStore, content_key

__all__ = ["Embedded", "default_cache", "embed_dataset"]

Progress = Callable[[int, int], None]

_STORE_EVERY = 512
_STORE_AFTER = 15.0  # seconds, where images come slowly


@dataclass(frozen=True)
class Embedded:
    """The images of a dataset that can be used, in its order.

    Attributes
    ----------
    examples : list of Example, length n
    keys : list of str, length n
        Content digests.
    vectors : ndarray of float32, shape (n, d)
    measures : ndarray of float32, shape (n, 7)
        Of `ml.quality.measure`.
    problems : list of Problem
        The dataset's own, and an entry for each image that could not be used.
    """

    examples: list[Example]
    keys: list[str]
    vectors: np.ndarray
    measures: np.ndarray
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def take(self, rows: np.ndarray) -> Embedded:
        """Return a part, by its rows."""
        return Embedded(
            [self.examples[row] for row in rows.tolist()],
            [self.keys[row] for row in rows.tolist()],
            self.vectors[rows],
            self.measures[rows],
            self.problems,
        )


def default_cache() -> Path:
    """Return the user's own cache folder for vectors: ``$XDG_CACHE_HOME/lineup``, or ``~/.cache/lineup``."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "lineup"


def embed_dataset(
    dataset: Dataset,
    embedder: Embedder,
    *,
    cache: Path | None = None,
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
    limits: ImageLimits | None = None,
) -> Embedded:
    """Return the vectors of a dataset's images.

    Vectors are kept by content, so a file that was moved or copied costs one reading, and one that has not
    changed since not even that. What is done is stored every 512 images or 15 seconds, and when something
    ends it early. At most a few batches of files are in memory at a time, besides the result.

    Parameters
    ----------
    dataset : Dataset
    embedder : Embedder
    cache : Path, optional
        Folder for what is kept; default: `default_cache`.
    skip_problems : bool
        Leave out images that cannot be used, and name them in ``problems``, instead of refusing it all.
    progress : callable
        Called with the number of images done, and of all.
    limits : ImageLimits, optional

    Raises
    ------
    DatasetError
        If images cannot be used and are not skipped, or none can be used.
    """
    cache = default_cache() if cache is None else cache
    store = VectorStore(cache / "vectors", embedder.fingerprint, embedder.dim)
    with FileCache.opened(cache / "images.sqlite", embedder.fingerprint) as contents:
        run = _Run(contents, store, len(dataset), progress)
        todo = run.start(dataset)
        with (
            closing(run.files(todo)) as files,
            closing(embed_stream(embedder, files, limits=limits or ImageLimits(), inspect=_look)) as stream,
        ):
            run.take(stream)
    return _collect(dataset, store, run, skip_problems)


def _look(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return measure(image, size=size)


@dataclass
class _Run:
    """One pass over a dataset.

    Attributes
    ----------
    seen : dict of Path to FileContent
        Files whose vector is stored, or will be.
    errors : dict of Path to str
        Why others cannot be used.
    """

    contents: FileCache
    store: VectorStore
    total: int
    progress: Progress
    seen: dict[Path, FileContent] = field(default_factory=dict)
    errors: dict[Path, str] = field(default_factory=dict)
    _states: dict[Path, FileState] = field(default_factory=dict)
    _uses: dict[Path, int] = field(default_factory=dict)
    _waiting: dict[str, list[Path]] = field(default_factory=dict)
    _ready: dict[str, FileContent | str] = field(default_factory=dict)
    _vectors: dict[str, np.ndarray] = field(default_factory=dict)
    _unstored: list[tuple[Path, FileState, FileContent]] = field(default_factory=list)
    _stored_at: float = field(default_factory=time.monotonic)
    _done: int = 0

    def start(self, dataset: Dataset) -> list[Path]:
        """Recall what is known; return the files that have to be read."""
        for example in dataset:
            if example.path is None:
                self._done += 1
                continue
            path = example.path
            self._uses[path] = self._uses.get(path, 0) + 1
            if path in self._states or path in self.errors:
                continue
            try:
                self._states[path] = FileState.of(path)
            except OSError as error:
                self._fail(path, str(error))
        known = self.contents.unchanged(self._states)
        stored = self.store.has([seen.key for seen in known.values()]) if known else ()
        self.seen = {path: one for (path, one), there in zip(known.items(), stored, strict=True) if there}
        self._done += sum(self._uses[path] for path in self.seen)
        self.progress(self._done, self.total)
        return [path for path in self._states if path not in self.seen]

    def files(self, todo: Iterable[Path]) -> Generator[tuple[str, bytes], None, None]:
        """Yield the key and the bytes of each content that has no vector yet, once."""
        for path in todo:
            try:
                data = path.read_bytes()
            except OSError as error:
                self._fail(path, str(error))
                continue
            key = content_key(data)
            known = self._ready.get(key)
            if known is None and key not in self._waiting and key in self.store:
                known = self.contents.find(key)
            if known is not None:
                self._note(path, known)
            elif key in self._waiting:
                self._waiting[key].append(path)
            else:
                self._waiting[key] = [path]
                yield key, data

    def take(self, stream: Iterable[Streamed[str]]) -> None:
        """Note what comes out of the stream, and store what is left when it ends."""
        try:
            for one in stream:
                outcome: FileContent | str
                if one.vector is None:
                    outcome = str(one.error)
                else:
                    outcome = FileContent(one.key, np.asarray(one.seen, dtype=np.float32))
                    self._vectors[one.key] = one.vector
                self._ready[one.key] = outcome
                for path in self._waiting.pop(one.key):
                    self._note(path, outcome)
        finally:
            self._keep()

    def _note(self, path: Path, outcome: FileContent | str) -> None:
        if isinstance(outcome, str):
            self._fail(path, outcome)
            return
        self.seen[path] = outcome
        self._unstored.append((path, self._states[path], outcome))
        self._advance(path)
        if len(self._unstored) >= _STORE_EVERY or time.monotonic() - self._stored_at > _STORE_AFTER:
            self._keep()

    def _fail(self, path: Path, why: str) -> None:
        self.errors[path] = why
        self._advance(path)

    def _advance(self, path: Path) -> None:
        self._done += self._uses[path]
        self.progress(self._done, self.total)

    def _keep(self) -> None:
        if self._vectors:
            self.store.put(list(self._vectors), np.stack(list(self._vectors.values())))
        self.contents.keep(self._unstored)
        self._vectors.clear()
        self._unstored.clear()
        self._stored_at = time.monotonic()


def _collect(dataset: Dataset, store: VectorStore, run: _Run, skip_problems: bool) -> Embedded:
    examples, seen, broken = [], [], []
    for example in dataset:
        found = run.seen.get(example.path) if example.path else None
        if found is not None:
            examples.append(example)
            seen.append(found)
            continue
        why = run.errors[example.path] if example.path else "it is not a file on this machine"
        broken.append(Problem(example.where, f"image {example.image[:200]}: {why}"))
    if broken and not skip_problems:
        raise DatasetError(f"{dataset.source}: {unusable(broken, len(dataset))}")
    if not examples:
        raise DatasetError(f"{dataset.source} has no image that can be used:\n{list_problems(broken)}")
    keys = [one.key for one in seen]
    vectors, there = store.get(keys)
    if not there.all():
        raise DatasetError(
            f"{dataset.source}: the vectors of {int((~there).sum())} images are not in the cache {store.path} any "
            "more; start again"
        )
    measures = np.stack([one.measures for one in seen]).astype(np.float32).reshape(-1, len(MEASURES))
    return Embedded(examples, keys, vectors, measures, [*dataset.problems, *broken])
