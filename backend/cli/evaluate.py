"""`lineup evaluate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import embed, load_embedder, tell_problems
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
    Cache,
    ImageColumn,
    Images,
    LabelColumn,
    ReadAs,
    Skip,
    load,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ml.evaluation import Evaluation


def evaluate(
    train: Annotated[Path, typer.Option("--train", help="Dataset to learn from, or project:ID.")],
    validation: Annotated[
        Path, typer.Option("--validation", "--val", help="Dataset to judge on, or project:ID.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    backbone: Backbone = "auto",
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    skip_problems: Skip = False,
) -> None:
    """Say what labels are worth: F1 and confusion of a simple classifier on frozen vectors.

    Example: `lineup evaluate --train labelled.csv --validation valid_.csv --images photos`
    """
    with clear_errors():
        import json

        from ml.evaluation import evaluate as judge

        parts = [
            load(path, read_as, images, image_column, label_column, skip_problems, cache=cache).labelled()
            for path in (train, validation)
        ]
        embedder = load_embedder(backbone, allow_noncommercial=allow_noncommercial)
        given, asked = (
            embed(part, embedder, cache, skip_problems=skip_problems, what=what)
            for part, what in zip(parts, ("training images", "validation images"), strict=True)
        )
        found = judge(given, asked)
        if as_json:
            typer.echo(json.dumps(found.as_dict(), indent=2))
        else:
            console.print(_table(found))
            console.print(_confusion(found))
            console.print(
                f"macro F1 [bold]{found.macro_f1:.3f}[/], accuracy {found.accuracy:.3f} on {found.validation} images, "
                f"learned from {found.train}.",
                highlight=False,
            )
        if found.shared:
            console.print(
                f"[yellow]{found.shared} images are in both parts: the figures are too good.[/]",
                highlight=False,
            )
        tell_problems([*given.problems, *asked.problems])


def _table(found: Evaluation) -> Table:
    from rich.table import Table

    table = Table("class", "F1", "images")
    for name, f1, row in zip(found.classes, found.f1.tolist(), found.confusion, strict=True):
        table.add_row(name, "" if math.isnan(f1) else f"{f1:.3f}", str(int(row.sum())))
    return table


def _confusion(found: Evaluation) -> Table:
    from rich.table import Table

    table = Table("given \\ predicted", *found.classes, title="confusion", title_justify="left")
    for name, row in zip(found.classes, found.confusion.tolist(), strict=True):
        table.add_row(name, *(str(count) if count else "" for count in row))
    return table
