"""How a command is told which dataset to read and how: the options all commands on datasets share, in this order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.common import Failure, label_studio_settings

if TYPE_CHECKING:
    from ml.datasets import Dataset

FORMATS = "jsonl, csv, json, label-studio, tsv or folders"
NEW_PROJECT = "project:new"
_PROJECT = re.compile(r"project:(\d+)")

DatasetArgument = Annotated[
    Path, typer.Argument(metavar="DATASET", help="File or folder to read, or project:ID of Label Studio.")
]
Backbone = Annotated[
    str,
    typer.Option(
        "--backbone",
        "--embedder",
        help="auto, pixels, b0, mobilenet, resnet18, resnet50, swin, vit, timm:MODEL or timm:MODEL@CHECKPOINT.",
    ),
]
AllowNoncommercial = Annotated[
    bool,
    typer.Option(
        "--allow-noncommercial",
        envvar="ALLOW_NONCOMMERCIAL",
        help="Accept weights whose licence is not known to allow commercial use.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder for vectors and fetched images; the user's cache without it."),
]
ReadAs = Annotated[
    str, typer.Option("--from", help=f"Format of the dataset, {FORMATS}; without it, what it looks like.")
]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images, if they are not beside the file.")
]
ImageColumn = Annotated[
    str, typer.Option("--image-column", help="Column, or task field, that holds the image.")
]
LabelColumn = Annotated[
    str,
    typer.Option(
        "--label-column", help="Column that holds the label; of Label Studio, the name of the choices."
    ),
]
DocumentRoot = Annotated[
    Path | None,
    typer.Option(
        "--document-root",
        help="Folder that Label Studio, on this machine, serves as local files; without it images are uploaded.",
    ),
]
ProjectTitle = Annotated[
    str, typer.Option("--project-title", help="Title of the new project; without it, after the dataset.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same answer.")]
Skip = Annotated[
    bool, typer.Option("--skip-problems", help="Leave out what cannot be used instead of stopping.")
]
Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]


def load(
    source: Path,
    read_as: str = "",
    images: Path | None = None,
    image_column: str = "",
    label_column: str = "",
    skip: bool = False,
    *,
    cache: Path | None = None,
) -> Dataset:
    """Return the dataset in a file or a folder, or, of ``project:ID``, in Label Studio.

    Parameters
    ----------
    cache : Path, optional
        Folder where images of a project stay.

    Raises
    ------
    Failure
        If the project is not given as it must be, or the settings of Label Studio are missing.
    """
    from ml.datasets import ReadOptions, read_dataset

    options = ReadOptions(images, image_column, label_column)
    project = project_id(source)
    if project is None:
        return read_dataset(source, format=read_as, options=options, skip_problems=skip)
    if read_as:
        raise Failure(f"{source} is a project, not a file: --from {read_as} says nothing of it", 2)
    from backend.cli.bars import steps
    from backend.project_dataset import read_project_dataset

    settings = label_studio_settings()
    with steps(f"images of project {project}") as bar:
        return read_project_dataset(
            settings, project, options, cache=cache, skip_problems=skip, progress=bar.progress
        )


def load_images(
    images: Path, label_column: str = "", skip: bool = False, *, cache: Path | None = None
) -> Dataset:
    """Return all images of a folder, or of ``project:ID``, with the labels they have there."""
    if project_id(images) is None:
        return load(images, "folders", skip=skip)
    return load(images, label_column=label_column, skip=skip, cache=cache)


def project_id(source: Path) -> int | None:
    """Return the id in ``project:ID``; None of a path.

    Raises
    ------
    Failure
        If it begins like a project, but has no number.
    """
    found = _PROJECT.fullmatch(str(source))
    if found is None and str(source).startswith("project:"):
        raise Failure(
            f"{source} names no project: it is project:ID, with the number in the project's address", 2
        )
    return int(found[1]) if found else None
