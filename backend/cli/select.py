"""`lineup select`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import embed, load_embedder, tell_problems
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
    Cache,
    Force,
    ImageColumn,
    LabelColumn,
    ReadAs,
    Seed,
    Skip,
    load,
    load_images,
    project_id,
)

# images of a contact sheet: more would take gigabytes, and nobody looks at them
DRAWN = 400


def select(
    images: Annotated[Path, typer.Option("--images", help="Folder of images to choose from, or project:ID.")],
    add: Annotated[int, typer.Option("--add", "-n", min=1, help="How many images to choose.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV file: image, utility, suggestion; best first.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="What is labelled: any dataset, its images in --images or beside it; without it, a project's own.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="Query strategy: auto, margin, least, ratio, entropy, vae, mixture, ..."
        ),
    ] = "auto",
    task: Annotated[str, typer.Option("--task", help="What is labelled: classification.")] = "classification",
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", help="Also copy the chosen images into this new folder.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", help="Also draw the first 400 into one picture, a contact sheet."),
    ] = None,
    backbone: Backbone = "auto",
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadAs = "",
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Seed = 0,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Choose the images to label next.

    Example: `lineup select --images photos --labels labels.jsonl --add 100 --method margin --out next.csv`

    Example: `lineup select --images project:7 --add 100 --out next.csv`
    """
    with clear_errors():
        from ml.contact_sheet import contact_sheet
        from ml.datasets import write_dataset
        from ml.datasets.copies import copy_images
        from ml.datasets.place import placed, refuse_overwrite
        from ml.selection import find_task

        choose = find_task(task)
        for path in filter(None, (out, copy_to, sheet)):
            refuse_overwrite(path, force=force)
        pool = load_images(images, label_column, skip_problems, cache=cache)
        known = None
        if labels is not None:
            beside = images if project_id(images) is None else None
            known = load(
                labels, read_as, beside, image_column, label_column, skip_problems, cache=cache
            ).labelled()
        elif project_id(images) is not None:
            known = pool.labelled()
        embedder = load_embedder(backbone, allow_noncommercial=allow_noncommercial)
        given = (
            embed(known, embedder, cache, skip_problems=skip_problems, what="labelled images")
            if known
            else None
        )
        found = embed(pool, embedder, cache, skip_problems=skip_problems, what=str(images))
        with console.status(f"choosing by {method}"):
            chosen = choose(given, found, add, method=method, seed=seed)
        rows = chosen.rows()
        write_dataset(rows, out, format="csv", force=force)
        if copy_to is not None:
            with placed(copy_to, force=force) as draft:
                copy_images(rows, draft)
        if sheet is not None:
            with placed(sheet, force=force) as draft:
                cells = ((row.path, f"{row.more['utility']:.2f} {row.image}") for row in rows[:DRAWN])
                contact_sheet(cells).save(draft, format="PNG")
        if chosen.why_no_model:
            console.print(f"Chosen without a model: {chosen.why_no_model}.", highlight=False, soft_wrap=True)
        console.print(
            f"Chose {len(rows)} of {chosen.pool} images by {method}; their names are in {out}.",
            soft_wrap=True,
        )
        tell_problems([*(given.problems if given else ()), *found.problems])
