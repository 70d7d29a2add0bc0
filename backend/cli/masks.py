"""How commands are told to read masks, and whether masks are meant at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, label_studio_settings
from backend.cli.reading import project_id

if TYPE_CHECKING:
    from ml.mask_sets import MaskReadOptions, MaskSet

FORMATS = "mmseg, masks, coco, coco-polygons, label-studio-brush or label-studio-polygons"
CLASSIFICATION, SEGMENTATION = "classification", "segmentation"

MasksArgument = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="Folder or file with masks, or project:ID of Label Studio."),
]
ReadMasksAs = Annotated[
    str, typer.Option("--from", help=f"Format of the masks, {FORMATS}; without it, what it looks like.")
]
Classes = Annotated[
    str,
    typer.Option(
        "--classes",
        metavar="NAMES",
        help="Of masks: classes by number, a,b,c or a file with one a line; else what the set says.",
    ),
]
Ignore = Annotated[
    int,
    typer.Option("--ignore", help="Of masks: the number of pixels that nobody labelled; -1: there is none."),
]


def mask_options(
    images: Path | None = None, classes: str = "", ignore: int = 255, image_column: str = ""
) -> MaskReadOptions:
    """Return what was said of how to read masks.

    Raises
    ------
    OSError
        If the file of classes cannot be read.
    """
    from ml.mask_sets import MaskReadOptions
    from ml.mask_sets.folders import names_in

    names: tuple[str, ...] = ()
    if classes:
        is_file = "," not in classes and Path(classes).is_file()
        names = names_in(Path(classes)) if is_file else tuple(name.strip() for name in classes.split(","))
    return MaskReadOptions(images, names, None if ignore < 0 else ignore, image_column)


def load_masks(
    source: Path,
    read_as: str = "",
    options: MaskReadOptions | None = None,
    skip: bool = False,
    *,
    cache: Path | None = None,
) -> MaskSet:
    """Return the masks in a file or a folder, or, of ``project:ID``, in Label Studio.

    Parameters
    ----------
    cache : Path, optional
        Folder where images of a project stay.

    Raises
    ------
    Failure
        If the project is not given as it must be, or the settings of Label Studio are missing.
    DatasetError, OSError
        As `ml.mask_sets.read_masks`.
    """
    from ml.mask_sets import MaskReadOptions, read_masks

    project = project_id(source)
    if project is None:
        return read_masks(source, format=read_as, options=options, skip_problems=skip)
    if read_as:
        raise Failure(f"{source} is a project, not a file: --from {read_as} says nothing of it", 2)
    from backend.project_masks import read_project_masks

    settings = label_studio_settings()
    with steps(f"images of project {project}") as bar:
        return read_project_masks(
            settings,
            project,
            options or MaskReadOptions(),
            cache=cache,
            skip_problems=skip,
            progress=bar.progress,
        )


def are_masks(source: Path, read_as: str = "", write_as: str = "", *, task: str = "", option: str) -> bool:
    """Tell whether masks are meant: by the task or the formats that are named, or by what the source looks like.

    Parameters
    ----------
    option : str
        What tells them apart where the source has both, for the message.

    Raises
    ------
    ValueError
        If there is no such task or format.
    Failure
        If it cannot be told.
    """
    from ml import datasets, mask_sets

    if task:
        if task not in (CLASSIFICATION, SEGMENTATION):
            raise ValueError(f"unknown task {task!r}; there are {CLASSIFICATION}, {SEGMENTATION}")
        return task == SEGMENTATION
    for name in filter(None, (read_as, write_as)):
        if name not in datasets.FORMATS and name not in mask_sets.FORMATS:
            known = ", ".join((*datasets.FORMATS, *mask_sets.FORMATS))
            raise ValueError(f"unknown format {name!r}; there are {known}")
    if read_as or write_as:
        return read_as in mask_sets.FORMATS or write_as in mask_sets.FORMATS
    tasks = _tasks_of(source)
    if len(tasks) > 1:
        raise Failure(f"{source} has classes of whole images and masks: say which are meant, {option}", 2)
    return tasks == {SEGMENTATION}


def _tasks_of(source: Path) -> set[str]:
    from ml import mask_sets
    from ml.datasets.json import mentions
    from ml.mask_sets.label_studio import LabelStudioMasks

    project = project_id(source)
    if project is not None:
        from backend.project_masks import project_tasks

        return project_tasks(label_studio_settings(), project)
    format = mask_sets.format_of(source) if source.exists() else None
    if format is None:
        return {CLASSIFICATION}
    both = isinstance(format, LabelStudioMasks) and mentions(source, ("choices",))
    return {SEGMENTATION, CLASSIFICATION} if both else {SEGMENTATION}
