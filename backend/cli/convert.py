"""`lineup convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console, label_studio_settings
from backend.cli.convert_masks import import_masks_as, write_masks_to
from backend.cli.datasets import tell_problems
from backend.cli.masks import FORMATS as MASK_FORMATS
from backend.cli.masks import Classes, Ignore, are_masks, load_masks, mask_options
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
        str,
        typer.Option(
            "--to", help=f"Format of OUT, {FORMATS}, of masks {MASK_FORMATS}; without it, what its name says."
        ),
    ] = "",
    document_root: DocumentRoot = None,
    project_title: ProjectTitle = "",
    classes: Classes = "",
    ignore: Ignore = 255,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.0, help="Of polygons: pixels they may be away from the mask's outline; 0 is exact."
        ),
    ] = 1.0,
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
    Masks go into formats of masks, and what that costs is told; in a project they are brush regions, or polygons with
    --to label-studio-polygons.

    Example: `lineup convert labels.tsv labels.jsonl --images photos`

    Example: `lineup convert project:7 by-class --to folders`

    Example: `lineup convert photos/ project:new`

    Example: `lineup convert scans/ scans.json --to coco-polygons --tolerance 0.5`

    Example: `lineup convert scans/ project:new`
    """
    with clear_errors():
        from ml.datasets import WriteOptions, write_dataset
        from ml.datasets.label_studio import NAME, label_config
        from ml.mask_sets import MaskWriteOptions

        masks = are_masks(source, read_as, write_as, option="--to FORMAT")
        to_project = _to_project(out, "" if masks else write_as)
        if masks:
            given = mask_options(images, classes, ignore, image_column)
            found = load_masks(source, read_as, given, skip_problems, cache=cache)
            how = MaskWriteOptions(tolerance, document_root)
            if to_project:
                title = project_title or found.source.resolve().stem
                import_masks_as(found, title, write_as, how, skip_problems=skip_problems)
            else:
                write_masks_to(found, out, write_as, how, skip_problems=skip_problems, force=force)
            return
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
