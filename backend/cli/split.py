"""`lineup split`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.reading import (
    Cache,
    DatasetArgument,
    Force,
    ImageColumn,
    Images,
    LabelColumn,
    ReadAs,
    Seed,
    Skip,
    load,
)


def split(
    source: DatasetArgument,
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of the images to validate on.")
    ] = 0.2,
    group: Annotated[
        str, typer.Option(metavar="COLUMN", help="What has the same value there stays on one side.")
    ] = "",
    min_images: Annotated[int, typer.Option(min=1, help="Leave out classes with fewer images.")] = 1,
    cache: Cache = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Seed = 0,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Split a dataset into train_.csv and valid_.csv, every class in the same share, with classes.json.

    Example: `lineup split photos/ parts --share 0.2`

    Example: `lineup split scans.csv parts --group patient`
    """
    with clear_errors():
        from ml.training.material import labelled, large_classes
        from ml.training.split import write_split

        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        known = labelled(dataset.examples)
        kept = large_classes(known, min_images)
        train, valid = write_split(kept, out, share, group_column=group, seed=seed, force=force)
        console.print(
            f"Wrote {train} images to {out / 'train_.csv'} and {valid} to {out / 'valid_.csv'}, "
            f"{len({example.label for example in kept})} classes.",
            highlight=False,
            soft_wrap=True,
        )
        for count, why in (
            (len(dataset) - len(known), "have no label"),
            (len(known) - len(kept), f"are of classes with fewer than {min_images} images"),
        ):
            if count:
                console.print(f"{count} images {why} and are in neither.", highlight=False)
        tell_problems(dataset.problems)
