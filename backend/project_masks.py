"""A Label Studio project as a set of masks: images come once into the cache, masks are those the loop takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from backend.import_masks import SPLIT
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config import KINDS, LabelConfig, find_kind
from backend.labelstudio.elements import UnsupportedConfig
from backend.labelstudio.reader import read_project, read_tasks
from backend.labelstudio.segmentation import SegmentationKind
from backend.labelstudio.targets import resolve
from backend.project_images import ProjectImages
from backend.settings import Settings
from backend.spooled import spool
from ml.datasets.embedding import default_cache
from ml.datasets.example import DatasetError, Problem, list_problems
from ml.datasets.label_studio import SOURCE
from ml.images import upright_size
from ml.mask_sets import MaskReadOptions, MaskSet, refuse
from ml.mask_sets.scene import LIMITS, Scene
from ml.masks.classes import MaskClasses
from ml.masks.regions import Region, paint


def read_project_masks(
    settings: Settings,
    project_id: int,
    options: MaskReadOptions,
    *,
    cache: Path | None = None,
    skip_problems: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> MaskSet:
    """Read a project: a scene is a task that somebody has done, with the mask that the loop would learn from.

    Of several annotations a reviewer's counts, or what most agree on (`backend.labelstudio.targets.resolve`). Outlines
    are in a temporary file; masks are painted when they are asked for. Classes are those of the label
    config, after the background. ``split`` of a task is the part of the set.

    Parameters
    ----------
    options : MaskReadOptions
        ``images``: a folder that has the images already, under the last parts of their URIs; what it has not is
        fetched. ``classes``: another order of them.
    cache : Path, optional
        Folder where fetched images stay, by URI, and outlines for as long as the set is used; default: the user's
        cache folder.
    skip_problems : bool
        Leave out tasks whose image cannot be had.
    progress : callable
        Called with the number of images done, and of all.

    Raises
    ------
    DatasetError
        If images cannot be had and are not skipped, or no task is done.
    UnsupportedConfig
        If the label config has no brush or polygon labels on an image.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    """
    if options.image_column:
        raise DatasetError(
            f"project {project_id}: its label config says which field has the image; leave --image-column away"
        )
    with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
        kind = _kind(project_id, read_project(client, project_id).label_config)
        classes = MaskClasses(options.classes, options.ignore) if options.classes else kind.mask_classes
        drawn: dict[int, _Drawn] = {}
        tasks = 0
        for page in spool(read_tasks(client, project_id), cache or default_cache()):
            for task in page:
                tasks += 1
                resolved = resolve(task, kind, settings.reviewers)
                if resolved is not None:
                    uri = kind.image_uri(task.data)
                    name, split = (str(task.data.get(field) or "") for field in (SOURCE, SPLIT))
                    drawn[task.id] = _Drawn(uri, resolved.annotation.result, name, split)
        with ProjectImages.opened(client, settings, project_id, cache, options.images) as images:
            uris = [(task_id, one.uri) for task_id, one in drawn.items()]
            brought = images.bring(uris, kind.data_key, progress)
    problems, scenes = list[Problem](), list[Scene]()
    for task_id, one in drawn.items():
        example = brought[task_id]
        if isinstance(example, Problem):
            problems.append(example)
        elif example.path is not None:
            load = partial(_paint, kind, one.result, classes, example.path)
            name = one.name or example.image
            scenes.append(Scene(example.image, load, example.path, one.split, example.where, name))
    found = MaskSet(Path(f"project-{project_id}"), classes, scenes, problems, tasks - len(drawn))
    if problems and not skip_problems:
        refuse(found, problems)
    if not scenes:
        what = f":\n{list_problems(problems)}" if problems else f"; it has {tasks} tasks"
        raise DatasetError(f"project {project_id} has no task with a mask that can be used{what}")
    return found


@dataclass(frozen=True, slots=True)
class _Drawn:
    uri: str | None
    result: Sequence[Region]
    name: str
    split: str


def _paint(kind: SegmentationKind, result: Sequence[Region], classes: MaskClasses, path: Path) -> np.ndarray:
    width, height = upright_size(path.read_bytes(), limits=LIMITS)
    return paint(list(kind.regions(result)), classes, (height, width))


def project_tasks(settings: Settings, project_id: int) -> set[str]:
    """Return what a project's label config asks for: ``classification``, ``segmentation`` or both.

    Raises
    ------
    UnsupportedConfig
        If it asks for nothing that Lineup knows.
    LabelStudioError
        If Label Studio cannot be reached or refuses.
    """
    with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
        label_config = read_project(client, project_id).label_config
    config, found = LabelConfig.parse(label_config), set()
    for find in KINDS.values():
        try:
            kind = find(config)
        except UnsupportedConfig:  # another control may be one that is known
            continue
        if kind is not None:
            found.add(kind.name if kind.name == SegmentationKind.name else "classification")
    if not found:
        find_kind(label_config)  # says which tag is in the way
    return found


def _kind(project_id: int, label_config: str) -> SegmentationKind:
    kind = SegmentationKind.find(LabelConfig.parse(label_config).elements)
    if kind is None:
        raise UnsupportedConfig(
            f"project {project_id} has no <BrushLabels> or <PolygonLabels> on an image: it has no masks"
        )
    return kind
