"""`lineup convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console, label_studio_settings
from backend.cli.datasets import tell_problems
from backend.cli.reading import (
    FORMATS,
    NEW_PROJECT,
    Cache,
    DatasetArgument,
    DocumentRoot,
    Force,
    ImageColumn,
    Images,
    LabelColumn,
    ProjectTitle,
    ReadAs,
    Skip,
    load,
)

if TYPE_CHECKING:
    from ml.datasets import Dataset


def convert(
    source: DatasetArgument,
    out: Annotated[Path, typer.Argument(help="File or folder to write, or project:new for Label Studio.")],
    write_as: Annotated[
        str, typer.Option("--to", help=f"Format of OUT, {FORMATS}; without it, what its name says.")
    ] = "",
    document_root: DocumentRoot = None,
    project_title: ProjectTitle = "",
    cache: Cache = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Write a dataset in another format, or make a Label Studio project of it.

    Images stay where they are, but for folders, which hold copies, and projects, to which they are uploaded.

    Example: `lineup convert labels.tsv labels.jsonl --images photos`

    Example: `lineup convert project:7 by-class --to folders`

    Example: `lineup convert photos/ project:new`
    """
    with clear_errors():
        from ml.datasets import WriteOptions, write_dataset
        from ml.datasets.label_studio import NAME, label_config

        to_project = _to_project(out, write_as)
        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        if to_project:
            _import(dataset, project_title or dataset.source.resolve().stem, document_root)
            tell_problems(dataset.problems)
            return
        with console.status("converting"):
            left_out = write_dataset(
                dataset,
                out,
                format=write_as,
                options=WriteOptions(document_root=document_root),
                force=force,
            )
        console.print(
            f"Wrote {len(dataset) - len(left_out)} images to {out}: {_contents(dataset)}.",
            highlight=False,
            soft_wrap=True,
        )
        if write_as == NAME:
            several = any(isinstance(example.label, list) for example in dataset)
            console.print("Label config of a project for them:", highlight=False)
            console.print(
                label_config(dataset.classes, several=several), highlight=False, markup=False, soft_wrap=True
            )
        tell_problems([*dataset.problems, *left_out])


def _to_project(out: Path, write_as: str) -> bool:
    """Tell whether a project is to be made, and see that it can be asked for like this."""
    if not str(out).startswith("project:"):
        return False
    if str(out) != NEW_PROJECT:
        raise Failure(f"a project is never written over: {NEW_PROJECT} makes a new one", 2)
    if write_as:
        raise Failure(f"{out} is no file: --to {write_as} says nothing of it", 2)
    label_studio_settings()  # what is missing is told before anything is read
    return True


def _import(dataset: Dataset, title: str, document_root: Path | None) -> None:
    from backend.import_dataset import import_dataset
    from backend.labelstudio.client import LabelStudioClient

    settings = label_studio_settings()
    with (
        LabelStudioClient(settings.label_studio_url, settings.api_key) as client,
        steps("importing") as bar,
    ):
        made = import_dataset(
            client, dataset, title=title, document_root=document_root, progress=bar.progress
        )
    console.print(
        f"Project {made.project_id} with {made.tasks} tasks, {_contents(dataset)}: {made.url}",
        highlight=False,
        soft_wrap=True,
    )


def _contents(dataset: Dataset) -> str:
    labelled = sum(example.label is not None for example in dataset)
    return f"{labelled} labelled, {len(dataset.classes)} classes"
