"""`lineup clean`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.common import clear_errors, console
from backend.cli.datasets import embed, load_embedder, tell_problems
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
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
    load_images,
)

if TYPE_CHECKING:
    import numpy as np

    from ml.cleaning import OutlierQuality


def clean(
    source: DatasetArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="List of the images that do not belong.")] = Path(
        "outliers.csv"
    ),
    method: Annotated[
        str, typer.Option(help="Whose list is written: knn_distance, dbscan or isolation_forest.")
    ] = "knn_distance",
    junk: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Images that do not belong, to see which method finds them."),
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--kept", metavar="OUT", help="Also write the dataset without them.")
    ] = None,
    backbone: Backbone = "auto",
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Seed = 0,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """List images that do not belong in a dataset, by their vectors; the dataset stays as it is.

    With --junk, images known not to belong are mixed in for the scoring, and a table says how well each method tells
    them from the others.

    Example: `lineup clean photos/ --junk other-photos/`

    Example: `lineup clean labels.csv --method dbscan --kept clean.csv`
    """
    with clear_errors():
        from ml.cleaning import listed_rows, score_outliers
        from ml.datasets import Dataset, write_dataset
        from ml.datasets.place import refuse_overwrite
        from ml.outliers import make_outliers

        make_outliers(method)
        for path in filter(None, (out, kept)):
            refuse_overwrite(path, force=force)
        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        planted = load_images(junk, skip=skip_problems, cache=cache) if junk else None
        embedder = load_embedder(backbone, allow_noncommercial=allow_noncommercial)
        own = embed(dataset, embedder, cache, skip_problems=skip_problems, what=source.name)
        problems = own.problems
        strange = None
        if planted is not None:
            strange = embed(
                Dataset(planted.source, planted.examples),
                embedder,
                cache,
                skip_problems=skip_problems,
                what="junk",
            )
            problems = [*problems, *strange.problems]
        with console.status("scoring"):
            scores = score_outliers(own.vectors, seed=seed)
        count = len(own.examples)
        rows = listed_rows(scores[method]).tolist()
        marked = [
            replace(
                own.examples[row],
                more={
                    **own.examples[row].more,
                    **{name: round(float(one[row]), 4) for name, one in scores.items()},
                },
            )
            for row in rows
        ]
        write_dataset(marked, out, format="csv", force=force)
        console.print(
            f"Wrote {len(marked)} of {count} images that do not belong by {method} to {out}.",
            highlight=False,
            soft_wrap=True,
        )
        if kept is not None:
            out_of_it = set(rows)
            rest = [example for row, example in enumerate(own.examples) if row not in out_of_it]
            write_dataset(rest, kept, force=force)
            console.print(f"Wrote the other {len(rest)} to {kept}.", highlight=False, soft_wrap=True)
        if strange is not None:
            _tell(*_judge(own.vectors, strange.vectors, seed))
        tell_problems(problems)


def _judge(own: np.ndarray, strange: np.ndarray, seed: int) -> tuple[dict[str, OutlierQuality], np.ndarray]:
    """Score all images together: what is listed of the dataset must not hang on what was planted."""
    import numpy as np

    from ml.cleaning import judge_outliers, score_outliers

    is_junk = np.arange(len(own) + len(strange)) >= len(own)
    scores = score_outliers(np.concatenate([own, strange]), seed=seed)
    return {name: judge_outliers(one, is_junk) for name, one in scores.items()}, is_junk


def _tell(qualities: dict[str, OutlierQuality], is_junk: np.ndarray) -> None:
    from rich.table import Table

    title = f"{int(is_junk.sum())} planted among {len(is_junk)} images ({is_junk.mean():.1%})"
    table = Table(
        "method", "average precision", "precision at so many", "listed", "precision", "recall", title=title
    )
    for name, one in sorted(qualities.items(), key=lambda item: -item[1].average_precision):
        figures = (one.average_precision, one.precision_at_junk, one.listed, one.precision, one.recall)
        table.add_row(
            name, *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in figures)
        )
    console.print(table)
