"""The embedding stage itself: fetch, decode, measure, embed. What becomes of the outcome is its caller's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from PIL import Image

from backend.fetching import fetch_ahead
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.snapshot import Content
from ml.embedders import Embedder, embed_stream
from ml.images import ImageLimits
from ml.quality import measure
from ml.vectors import content_key

# task id and URI
Item = tuple[int, str]
# told of images that turned out to have the same content, and of its vector where it was computed just now
Note = Callable[[Sequence[Item], Content, np.ndarray | None], None]
# longest URI that is sent to another machine; data: URIs are images, and never are
MAX_URI = 2_000


def may_travel(uri: str) -> bool:
    """Tell whether an image's URI may be sent to another machine: it is neither long nor the image itself."""
    return 0 < len(uri) <= MAX_URI and uri[:5].lower() != "data:"


@dataclass(frozen=True)
class EmbeddingStage:
    """What turns image URIs into vectors: the same parts in a refresh, in another worker and on a cluster.

    Attributes
    ----------
    backbone : str or None
        Id of the project's own that the embedder is; None: it is the setting's.
    """

    embedder: Embedder
    fetcher: ImageFetcher
    limits: ImageLimits
    backbone: str | None = None

    def run(
        self,
        project_id: int,
        lots: Iterable[Sequence[Item]],
        note: Note,
        *,
        ready: MutableMapping[str, Content] | None = None,
        kept: Collection[str] = (),
    ) -> None:
        """Fetch and embed images; a broken one costs only itself.

        Parameters
        ----------
        lots : iterable of sequences of (task id, URI)
            The next is asked for when nearly all files of the last are fetched, while its images are still being
            embedded.
        note : callable
            Called in this thread with every outcome; an exception of it ends the stage.
        ready : dict of str to Content, optional
            By key: contents that need no work. What is met is added.
        kept : collection of str
            URIs of which nothing is told if they cannot be fetched.

        Raises
        ------
        LabelStudioError
            If Label Studio itself cannot be reached.
        """
        ready = {} if ready is None else ready
        waiting: dict[str, list[Item]] = {}
        with (
            closing(self._files(project_id, lots, note, ready, waiting, kept)) as files,
            closing(embed_stream(self.embedder, files, limits=self.limits, inspect=_look)) as stream,
        ):
            for one in stream:
                if one.vector is None:
                    content = Content(None, str(one.error), time.time())
                else:
                    measures = np.asarray(one.seen, dtype="<f4").tobytes()
                    content = Content(one.key, None, time.time(), measures)
                note(waiting.pop(one.key), content, one.vector)
                ready[one.key] = content

    def _files(
        self,
        project_id: int,
        lots: Iterable[Sequence[Item]],
        note: Note,
        ready: MutableMapping[str, Content],
        waiting: dict[str, list[Item]],
        kept: Collection[str],
    ) -> Generator[tuple[str, bytes], None, None]:
        """Yield the key and the bytes of each content once."""
        failures: dict[str, str] = {}

        def fetch(item: Item) -> bytes | None:
            task_id, uri = item
            try:
                return self.fetcher.fetch(uri, task_id, project_id)
            except ImageFetchError as error:
                failures[uri] = str(error)
                return None

        with closing(fetch_ahead(lots, fetch)) as fetched:
            for item, data in fetched:
                if data is None:
                    why = failures.pop(item[1])
                    if item[1] not in kept:
                        note([item], Content(None, why, time.time()), None)
                    continue
                key = content_key(data)
                if key in ready:
                    note([item], ready[key], None)
                elif key in waiting:
                    waiting[key].append(item)
                else:
                    waiting[key] = [item]
                    yield key, data


def _look(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return measure(image, size=size)
