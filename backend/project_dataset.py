"""A Label Studio project as a dataset: images come once into the cache, labels are those the loop takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import LabelConfig, find_kind
from backend.labelstudio.kind import Kind
from backend.labelstudio.reader import may_have_masks, read_project, read_tasks
from backend.labelstudio.targets import resolve
from backend.project_images import ProjectImages
from backend.settings import Settings
from backend.snapshot import TaskRecord
from ml.datasets import Dataset, DatasetError, Example, Problem, ReadOptions, collect


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
        masks = may_have_masks(info.label_config)
        tasks = [task for page in read_tasks(client, project_id, masks=masks) for task in page]
        with ProjectImages.opened(client, settings, project_id, cache, options.images) as images:
            entries = _entries(tasks, kind, images, settings, progress)
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
    images: ProjectImages,
    settings: Settings,
    progress: Callable[[int, int], None],
) -> Iterator[Example | Problem]:
    uris = [(task.id, kind.image_uri(task.data)) for task in tasks]
    brought = images.bring(uris, kind.data_key, progress)
    for task in tasks:
        example = brought[task.id]
        if isinstance(example, Problem):
            yield example
            continue
        resolved = resolve(task, kind, settings.reviewers)
        label = None if resolved is None else kind.named(kind.text(resolved.label))
        yield replace(example, label=label, more=_columns(task, kind, settings.field_prefix))


def _columns(task: TaskRecord, kind: Kind, prefix: str) -> dict[str, Any]:
    ours = {
        name: value
        for name, value in task.data.items()
        if name != kind.data_key
        and isinstance(value, str | int | float)
        and not (prefix and name.startswith(prefix))
    }
    return {**ours, "task": task.id}
