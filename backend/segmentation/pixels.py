"""The features of pixels: fetched, decoded and stored for each image that has none yet, one image at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from backend.casualties import Casualties
from backend.courses.base import Progress
from backend.embedding.room import RETRY_BROKEN_AFTER
from backend.embedding.stage import Item
from backend.fetching import fetch_ahead
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.segmentation.memory import Memory
from backend.snapshot import SnapshotStore
from ml.embedders.stream import in_order, worker_threads
from ml.embedders.threads import workers_within
from ml.images import ImageError, ImageLimits, decode_reduced, upright_size
from ml.segmentation.features import PixelFeatures
from ml.segmentation.pyramid import Pyramid
from ml.segmentation.sizes import work_size
from ml.segmentation.store import PyramidStore
from ml.vectors import content_key

log = logging.getLogger(__name__)

STEP = "pixels"
BROKEN = "broken"  # in the memory: why an image has no features, and when that was found
_REPORT_EVERY = 8
_AHEAD = 2  # images a worker has waiting
_IMAGE_BYTES = 100_000_000  # what a thread holds: a PNG of 8 megapixels in full and its copies, then features


@dataclass(frozen=True)
class PixelRoom:
    """Turns image URIs into stored features.

    Attributes
    ----------
    features : PixelFeatures
    pyramids : PyramidStore
        Where they are kept, by content.
    fetcher : ImageFetcher
    limits : ImageLimits
    memory : Memory
        Of the project: which images have none, and why.
    casualties : Casualties
    """

    features: PixelFeatures
    pyramids: PyramidStore
    fetcher: ImageFetcher
    limits: ImageLimits
    memory: Memory
    casualties: Casualties

    @classmethod
    def make(
        cls,
        features: PixelFeatures,
        pyramids: PyramidStore,
        fetcher: ImageFetcher,
        limits: ImageLimits,
        memory: Memory,
        store: SnapshotStore,
    ) -> PixelRoom:
        """Put the parts of a project together."""
        return cls(features, pyramids, fetcher, limits, memory, Casualties(store, "pixels"))

    def fill(self, project_id: int, images: Mapping[str, Item], progress: Progress) -> dict[str, str]:
        """See to it that images have features; a broken one costs only itself.

        Parameters
        ----------
        images : dict of str to (task id, URI)
            By the digest of the content.
        progress : callable
            May raise, to end the pass: what is stored by then stays.

        Returns
        -------
        dict of str to str
            Why images have none, by key.

        Raises
        ------
        LabelStudioError
            If Label Studio itself cannot be reached: nothing is marked as broken for that.
        """
        there = {key: self.pyramids.has(key) for key in images}
        known = self.memory.recall(BROKEN)
        retry_before = time.time() - RETRY_BROKEN_AFTER
        broken = {
            key: str(known[key].value[0])
            for key in images
            if not there[key] and key in known and known[key].value[1] >= retry_before
        }
        todo = {key: item for key, item in images.items() if not there[key] and key not in broken}
        if healed := [key for key in known if there.get(key)]:
            self.memory.forget(BROKEN, healed)
        if not todo:
            return broken
        intake = _Intake(self, project_id, {item[1]: key for key, item in todo.items()}, progress)
        progress(STEP, 0, len(todo))
        items = list(todo.values())
        with self.casualties.watched() as careful:
            if careful:
                for uri, content in self.casualties.blame(project_id).items():
                    intake.fail(uri, str(content.error))
                for item in self.casualties.one_by_one([one for one in items if one[1] not in intake.done]):
                    intake.run([item])
            intake.run([one for one in items if one[1] not in intake.done])
        self.memory.forget(BROKEN, [key for key in todo if key in known and key not in intake.broken])
        progress(STEP, len(todo), len(todo))
        return broken | intake.broken


@dataclass
class _Intake:
    """One pass over images without features."""

    room: PixelRoom
    project_id: int
    keys: dict[str, str]  # by URI
    progress: Progress
    done: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)

    def run(self, items: Sequence[Item]) -> None:
        workers = workers_within(_IMAGE_BYTES)
        with closing(self._files(items)) as files, worker_threads(workers, "pixels") as pool:
            for uri, error in in_order(
                pool, self._work, files, _AHEAD * workers, weigh=lambda one: len(one[1])
            ):
                if error is not None:
                    self.fail(uri, error)
                self._did(uri)

    def fail(self, uri: str, error: str) -> None:
        if (key := self.keys.get(uri)) is None:
            return
        log.warning("project %d: image %s has no features of pixels: %s", self.project_id, uri[:200], error)
        self.broken[key] = error
        self.room.memory.keep(BROKEN, self.room.features.fingerprint, {key: [error, time.time()]})
        self.done.add(uri)

    def _did(self, uri: str) -> None:
        self.done.add(uri)
        if len(self.done) % _REPORT_EVERY == 0:
            self.progress(STEP, len(self.done), len(self.keys))

    def _files(self, items: Sequence[Item]) -> Generator[tuple[str, bytes], None, None]:
        failures: dict[str, str] = {}

        def fetch(item: Item) -> bytes | None:
            task_id, uri = item
            try:
                return self.room.fetcher.fetch(uri, task_id, self.project_id)
            except ImageFetchError as error:
                failures[uri] = str(error)
                return None

        with closing(fetch_ahead([items], fetch)) as fetched:
            for (_, uri), data in fetched:
                if data is None:
                    self.fail(uri, failures.pop(uri))
                else:
                    yield uri, data

    def _work(self, file: tuple[str, bytes]) -> Iterable[tuple[str, str | None]]:
        uri, data = file
        key, room = self.keys[uri], self.room
        if content_key(data) != key:
            return [(uri, "its file is another one than when it was embedded")]
        try:
            room.pyramids.put(key, read_pyramid(room.features, data, room.limits))
        except ImageError as error:
            return [(uri, str(error))]
        return [(uri, None)]


def read_pyramid(features: PixelFeatures, data: bytes, limits: ImageLimits) -> Pyramid:
    """Return the features of an image file.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    width, height = upright_size(data, limits=limits)
    image, _ = decode_reduced(data, limits=limits, side=min(work_size(height, width, features.side)))
    return features.extract(image, (height, width))
