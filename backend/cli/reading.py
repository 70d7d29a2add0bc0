"""How a command is told to read a dataset, and the configuration of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.datasets import Dataset
    from ml.training.config import TrainingConfig

FORMATS = "jsonl, csv, json, label-studio, tsv or folders"

ReadAs = Annotated[
    str, typer.Option("--from", help=f"Format of the dataset, {FORMATS}; without it, what it looks like.")
]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder of the images, if they are not beside the file.")
]
ImageColumn = Annotated[str, typer.Option(help="Column, or task field, that holds the image.")]
LabelColumn = Annotated[str, typer.Option(help="Column that holds the label.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration: Training.lr=3e-4."),
]


def load(
    source: Path, read_as: str, images: Path | None, image_column: str, label_column: str, skip: bool
) -> Dataset:
    """Return the dataset."""
    from ml.datasets import ReadOptions, read_dataset

    options = ReadOptions(images, image_column, label_column)
    return read_dataset(source, format=read_as, options=options, skip_problems=skip)


def load_config(path: Path | None, settings: list[str] | None, named: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration in a file, or the default one, with what other options set.

    Parameters
    ----------
    path : Path or None
    settings : list of str or None
        Of ``--set``; they go before all else.
    named : mapping of str to object
        Values of dotted keys; those that are None or empty say nothing.
    """
    from ml.training.yaml_file import check_config, parse_override, read_config

    overrides = {key: value for key, value in named.items() if value not in (None, "")}
    overrides |= dict(map(parse_override, settings or ()))
    return read_config(path, overrides) if path else check_config({}, overrides)
