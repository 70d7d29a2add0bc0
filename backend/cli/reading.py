"""How a command is told to read a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ml.datasets import Dataset

FORMATS = "jsonl, csv, json, label-studio, tsv or folders"

ReadAs = Annotated[
    str, typer.Option("--from", help=f"Format of the dataset, {FORMATS}; without it, what it looks like.")
]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images, if they are not beside the file.")
]
ImageColumn = Annotated[str, typer.Option(help="Column, or task field, that holds the image.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the label.")]


def load(
    source: Path, read_as: str, images: Path | None, image_column: str, label_column: str, skip: bool
) -> Dataset:
    """Return the dataset."""
    from ml.datasets import ReadOptions, read_dataset

    options = ReadOptions(images, image_column, label_column)
    return read_dataset(source, format=read_as, options=options, skip_problems=skip)
