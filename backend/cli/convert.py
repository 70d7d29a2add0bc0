"""`lineup convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems

_FORMATS = "jsonl, csv, json, label-studio, tsv or folders"


def convert(
    source: Annotated[Path, typer.Argument(metavar="DATASET", help="File or folder to read.")],
    out: Annotated[Path, typer.Argument(help="File or folder to write.")],
    read_as: Annotated[
        str, typer.Option("--from", help=f"Format of DATASET, {_FORMATS}; without it, what it looks like.")
    ] = "",
    write_as: Annotated[
        str, typer.Option("--to", help=f"Format of OUT, {_FORMATS}; without it, what its name says.")
    ] = "",
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the images, if they are not beside the file.")
    ] = None,
    image_column: Annotated[str, typer.Option(help="Column, or task field, that holds the image.")] = "",
    label_column: Annotated[str, typer.Option(help="Column that holds the label.")] = "",
    document_root: Annotated[
        Path | None,
        typer.Option(help="For label-studio: the folder that Label Studio serves as local files."),
    ] = None,
    skip_problems: Annotated[
        bool, typer.Option("--skip-problems", help="Leave out what cannot be used instead of stopping.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write a dataset in another format; images stay where they are, but for folders, which hold copies.

    Example: `lineup convert labels.tsv labels.jsonl --images photos`

    Example: `lineup convert project-7.json by-class --to folders --images photos`
    """
    with clear_errors():
        from ml.datasets import ReadOptions, WriteOptions, read_dataset, write_dataset
        from ml.datasets.label_studio import NAME, label_config

        with console.status("converting"):
            options = ReadOptions(images, image_column, label_column)
            dataset = read_dataset(source, format=read_as, options=options, skip_problems=skip_problems)
            left_out = write_dataset(
                dataset,
                out,
                format=write_as,
                options=WriteOptions(document_root=document_root),
                force=force,
            )
        labelled = sum(example.label is not None for example in dataset)
        console.print(
            f"Wrote {len(dataset) - len(left_out)} images to {out}: {labelled} labelled, "
            f"{len(dataset.classes)} classes.",
            highlight=False,
            soft_wrap=True,
        )
        if write_as == NAME:
            console.print("Label config of a project for them:", highlight=False)
            console.print(label_config(dataset.classes), highlight=False, markup=False, soft_wrap=True)
        tell_problems([*dataset.problems, *left_out])
