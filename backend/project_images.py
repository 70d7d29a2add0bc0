"""Images of a Label Studio project as files: each comes once, into the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from backend.fetching import fetch_ahead
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.settings import Settings
from ml.datasets.embedding import default_cache
from ml.datasets.example import Example, Problem
from ml.datasets.find import SUFFIXES, find_image, path_of
from ml.images import ImageError, ImageLimits, decode_reduced
from ml.whole_files import write_whole

FOLDER = "label-studio"


class ProjectImages:
    """Image files by URI: a folder of the user's own that has them, or the cache, where each is fetched once.

    Parameters
    ----------
    fetcher : ImageFetcher
    project_id : int
    url : str
        Of Label Studio: the same path stands for another file in another one.
    cache : Path
    own : Path or None
        A folder that has the images already, under the last parts of their URIs.
    limits : ImageLimits
    """

    def __init__(
        self,
        fetcher: ImageFetcher,
        project_id: int,
        url: str,
        cache: Path,
        own: Path | None,
        limits: ImageLimits,
    ) -> None:
        self._project_id = project_id
        self._fetcher = fetcher
        self._url = url
        self._folder = cache / FOLDER
        self._own = own
        self._limits = limits

    @classmethod
    @contextmanager
    def opened(
        cls,
        client: LabelStudioClient,
        settings: Settings,
        project_id: int,
        cache: Path | None,
        own: Path | None,
    ) -> Iterator[Self]:
        """Hold connections open meanwhile; without ``cache`` the user's own is taken."""
        fetcher = ImageFetcher(client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes)
        with closing(fetcher):
            yield cls(fetcher, project_id, client.url, cache or default_cache(), own, settings.image_limits)

    def bring(
        self, tasks: Sequence[tuple[int, str | None]], field: str, progress: Callable[[int, int], None]
    ) -> dict[int, Example | Problem]:
        """Return for each task its image, with its file, or why there is none.

        Parameters
        ----------
        tasks : sequence of (int, str or None)
            Id, and the image's URI if it has one.
        field : str
            The task field with the image, for messages.
        progress : callable
            Called with the number of images done, and of all.

        Raises
        ------
        LabelStudioError
            If Label Studio cannot be reached or refuses.
        """
        places = {task_id: f"project {self._project_id}, task {task_id}" for task_id, _ in tasks}
        brought: dict[int, Example | Problem] = {
            task_id: Problem(places[task_id], f"has no image: its field {field!r} is empty")
            for task_id, uri in tasks
            if uri is None
        }

        def bring(item: tuple[int, str]) -> None:
            task_id, uri = item
            where = places[task_id]
            try:
                brought[task_id] = Example(uri, None, self._path(task_id, uri), where)
            except ImageFetchError as error:
                brought[task_id] = Problem(where, f"image {uri[:200]}: {error.why}")

        wanted = [(task_id, uri) for task_id, uri in tasks if uri is not None]
        progress(0, len(wanted))
        with closing(fetch_ahead([wanted], bring)) as fetched:
            for done, _ in enumerate(fetched, 1):
                progress(done, len(wanted))
        return brought

    def _path(self, task_id: int, uri: str) -> Path:
        if self._own is not None and (found := find_image(uri, [self._own])):
            return found
        name = hashlib.sha256(f"{self._url}|{uri}".encode()).hexdigest()[:40]
        suffix = "" if uri.startswith("data:") else path_of(uri).suffix.lower()
        path = self._folder / name[:2] / (name + (suffix if suffix in SUFFIXES else ".img"))
        if not path.is_file():
            data = self._fetcher.fetch(uri, task_id, self._project_id)
            self._check(data, task_id, uri)
            write_whole(path, data)
        return path

    def _check(self, data: bytes, task_id: int, uri: str) -> None:
        """Keep no file that cannot be decoded: it may be mended behind the same URI."""
        try:
            decode_reduced(data, limits=self._limits, side=1)
        except ImageError as error:
            raise ImageFetchError(task_id, uri, str(error)) from None
