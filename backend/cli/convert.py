"""`lineup convert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import Force, Skip, progress_bar, tell_problems
from backend.cli.masks import FORMATS as MASK_FORMATS
from backend.cli.masks import Classes, Ignore, mask_options
from backend.cli.reading import FORMATS

if TYPE_CHECKING:
    from ml.datasets import ReadOptions, WriteOptions
    from ml.mask_sets import MaskReadOptions, MaskWriteOptions


def convert(
    source: Annotated[Path, typer.Argument(metavar="DATASET", help="File or folder to read.")],
    out: Annotated[Path, typer.Argument(help="File or folder to write.")],
    read_as: Annotated[
        str,
        typer.Option(
            "--from", help=f"Format of DATASET, {FORMATS}, or {MASK_FORMATS}; else what it looks like."
        ),
    ] = "",
    write_as: Annotated[
        str, typer.Option("--to", help="Format of OUT, one of the same; without it, what its name says.")
    ] = "",
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images, if they are not beside the file.")
    ] = None,
    image_column: Annotated[str, typer.Option(help="Column, or task field, that holds the image.")] = "",
    label_column: Annotated[str, typer.Option(help="Column that holds the label.")] = "",
    classes: Classes = "",
    ignore: Ignore = 255,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.0, help="Of polygons: pixels they may be away from the mask's outline; 0 is exact."
        ),
    ] = 1.0,
    document_root: Annotated[
        Path | None,
        typer.Option(help="For Label Studio: the folder that it serves as local files."),
    ] = None,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Write a dataset in another format; images stay where they are, but for folders, which hold copies.

    Masks go into formats of masks, and what that costs is told.

    Example: `lineup convert labels.tsv labels.jsonl --images photos`

    Example: `lineup convert project-7.json by-class --to folders --images photos`

    Example: `lineup convert scans/ scans.json --to coco-polygons --tolerance 0.5`
    """
    with clear_errors():
        from ml import datasets, mask_sets

        names = (*mask_sets.FORMATS, *datasets.FORMATS)
        for format in filter(None, (read_as, write_as)):
            if format not in names:
                raise ValueError(f"unknown format {format!r}; there are {', '.join(names)}")
        said = {read_as, write_as} - {""}
        if said & set(mask_sets.FORMATS) or (
            not said and source.exists() and mask_sets.format_of(source) is not None
        ):
            _convert_masks(
                source, out, read_as, write_as,
                mask_options(images, classes, ignore, image_column),
                mask_sets.MaskWriteOptions(tolerance, document_root),
                skip_problems, force,
            )  # fmt: skip
        else:
            _convert_labels(
                source, out, read_as, write_as,
                datasets.ReadOptions(images, image_column, label_column),
                datasets.WriteOptions(document_root=document_root),
                skip_problems, force,
            )  # fmt: skip


def _convert_labels(
    source: Path, out: Path, read_as: str, write_as: str, reading: ReadOptions, writing: WriteOptions,
    skip_problems: bool, force: bool,
) -> None:  # fmt: skip
    from ml.datasets import read_dataset, write_dataset
    from ml.datasets.label_studio import NAME, label_config

    with console.status("converting"):
        dataset = read_dataset(source, format=read_as, options=reading, skip_problems=skip_problems)
        left_out = write_dataset(dataset, out, format=write_as, options=writing, force=force)
    labelled = sum(example.label is not None for example in dataset)
    console.print(
        f"Wrote {len(dataset) - len(left_out)} images to {out}: {labelled} labelled, "
        f"{len(dataset.classes)} classes.",
        highlight=False,
        soft_wrap=True,
    )
    if write_as == NAME:
        _tell_config(label_config(dataset.classes))
    tell_problems([*dataset.problems, *left_out])


def _convert_masks(
    source: Path, out: Path, read_as: str, write_as: str, reading: MaskReadOptions, writing: MaskWriteOptions,
    skip_problems: bool, force: bool,
) -> None:  # fmt: skip
    from ml.mask_sets import FORMATS, read_masks, write_masks
    from ml.mask_sets.label_studio import LabelStudioMasks

    if not write_as and out.suffix:
        raise ValueError(f"{out.name} does not tell its format ({', '.join(FORMATS)}): say which with --to")
    found = read_masks(source, format=read_as, options=reading, skip_problems=skip_problems)
    with progress_bar("converting") as report:
        written = write_masks(
            found, out, format=write_as or "mmseg", options=writing, skip_problems=skip_problems, force=force,
            progress=report,
        )  # fmt: skip
    undone = f"; {found.unlabelled} that nobody has done are left out" if found.unlabelled else ""
    console.print(
        f"Wrote {written.count} masks to {out}, {len(found.classes.names)} classes: {written.loss}{undone}.",
        highlight=False,
        soft_wrap=True,
    )
    if isinstance(chosen := FORMATS[write_as or "mmseg"], LabelStudioMasks):
        _tell_config(chosen.label_config(found.classes.drawn))
    tell_problems([*found.problems, *written.problems])


def _tell_config(config: str) -> None:
    console.print("Label config of a project for them:", highlight=False)
    console.print(config, highlight=False, markup=False, soft_wrap=True)
