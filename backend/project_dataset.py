"""A Label Studio project as a dataset: images come once into the cache, labels are those the loop takes."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from backend.fetching import fetch_ahead
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import LabelConfig, find_kind
from backend.labelstudio.fetch import ImageFetcher, ImageFetchError
from backend.labelstudio.kind import Kind
from backend.labelstudio.reader import read_project, read_tasks
from backend.labelstudio.targets import resolve
from backend.settings import Settings
from backend.snapshot import TaskRecord
from ml.datasets import Dataset, DatasetError, Example, Problem, ReadOptions, collect
from ml.datasets.embedding import default_cache
from ml.datasets.find import SUFFIXES, find_image, path_of
from ml.images import ImageError, ImageLimits, decode_reduced

FOLDER = "label-studio"


def read_project_dataset(
    settings: Settings,
    project_id: int,
    options: ReadOptions,
    *,
    cache: Path | None = None,
    skip_problems: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """Read a project: a task is an image, with the label that the loop would learn from if it has one.

    Of several annotations a reviewer's counts, or the majority (`backend.labelstudio.targets.resolve`). Other fields of
    a task, but for Lineup's own, are further columns, and ``task`` is its id.

    Parameters
    ----------
    options : ReadOptions
        ``images``: a folder that has the images already, under the last parts of their URIs; what it has not is
        fetched. ``label_column``: the name of the ``<Choices>`` where there are several.
    cache : Path, optional
        Folder where fetched images stay, by URI; default: the user's cache folder.
    skip_problems : bool
        Leave out tasks whose image cannot be had.
    progress : callable
        Called with the number of tasks done, and of all.

    Raises
    ------
    DatasetError
        If images cannot be had and are not skipped, there is no task, or it is not clear which control is meant.
    UnsupportedConfig
        If the label config has no ``<Choices>`` on an image.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    """
    with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
        info = read_project(client, project_id)
        kind = _kind(project_id, info.label_config, options)
        tasks = [task for page in read_tasks(client, project_id) for task in page]
        fetcher = ImageFetcher(client, allow_hosts=settings.allow_hosts, max_bytes=settings.max_image_bytes)
        kept = _KeptImages(
            fetcher, project_id, client.url, cache or default_cache(), options.images, settings.image_limits
        )
        with closing(fetcher):
            entries = _entries(tasks, kind, kept, settings, progress)
            source = Path(f"project-{project_id}")
            return collect(source, entries, read_as="a project", skip_problems=skip_problems)


def _kind(project_id: int, label_config: str, options: ReadOptions) -> Kind:
    if options.image_column:
        raise DatasetError(
            f"project {project_id}: its label config says which field has the image; leave --image-column away"
        )
    controls = LabelConfig.parse(label_config).choices
    if len(controls) > 1 and not options.label_column:
        raise DatasetError(
            f"project {project_id} has several choices on an image, {', '.join(controls)}: say which is the label, "
            "--label-column NAME"
        )
    return find_kind(label_config, options.label_column)


def _entries(
    tasks: list[TaskRecord],
    kind: Kind,
    kept: _KeptImages,
    settings: Settings,
    progress: Callable[[int, int], None],
) -> Iterator[Example | Problem]:
    wanted = [(task.id, uri) for task in tasks if (uri := kind.image_uri(task.data)) is not None]
    paths: dict[int, Path] = {}
    errors: dict[int, str] = {}

    def bring(item: tuple[int, str]) -> None:
        try:
            paths[item[0]] = kept.path(*item)
        except ImageFetchError as error:
            errors[item[0]] = error.why

    progress(0, len(tasks))
    with closing(fetch_ahead([wanted], bring)) as brought:
        for done, _ in enumerate(brought, 1):
            progress(done, len(wanted))
    for task in tasks:
        where = f"project {kept.project_id}, task {task.id}"
        uri = kind.image_uri(task.data)
        if uri is None:
            yield Problem(where, f"has no image: its field {kind.data_key!r} is empty")
        elif task.id in errors:
            yield Problem(where, f"image {uri[:200]}: {errors[task.id]}")
        else:
            resolved = resolve(task, kind, settings.reviewers)
            label = None if resolved is None else kind.named(kind.text(resolved.label))
            yield Example(uri, label, paths[task.id], where, _columns(task, kind, settings.field_prefix))


def _columns(task: TaskRecord, kind: Kind, prefix: str) -> dict[str, Any]:
    ours = {
        name: value
        for name, value in task.data.items()
        if name != kind.data_key
        and isinstance(value, str | int | float)
        and not (prefix and name.startswith(prefix))
    }
    return {**ours, "task": task.id}


class _KeptImages:
    """Image files by URI: a folder of the user's own that has them, or the cache, where each is fetched once."""

    def __init__(
        self,
        fetcher: ImageFetcher,
        project_id: int,
        url: str,
        cache: Path,
        own: Path | None,
        limits: ImageLimits,
    ) -> None:
        self.project_id = project_id
        self._fetcher = fetcher
        self._url = url
        self._folder = cache / FOLDER
        self._own = own
        self._limits = limits

    def path(self, task_id: int, uri: str) -> Path:
        """Return the file of a task's image.

        Raises
        ------
        ImageFetchError
            If it cannot be had.
        """
        if self._own is not None and (found := find_image(uri, [self._own])):
            return found
        # the same path stands for another file in another Label Studio
        name = hashlib.sha256(f"{self._url}|{uri}".encode()).hexdigest()[:40]
        suffix = "" if uri.startswith("data:") else path_of(uri).suffix.lower()
        path = self._folder / name[:2] / (name + (suffix if suffix in SUFFIXES else ".img"))
        if not path.is_file():
            data = self._fetcher.fetch(uri, task_id, self.project_id)
            self._check(data, task_id, uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            draft.write_bytes(data)
            os.replace(draft, path)
        return path

    def _check(self, data: bytes, task_id: int, uri: str) -> None:
        """Keep no file that cannot be decoded: it may be mended behind the same URI."""
        try:
            decode_reduced(data, limits=self._limits, side=1)
        except ImageError as error:
            raise ImageFetchError(task_id, uri, str(error)) from None
