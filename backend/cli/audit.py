"""`lineup audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console, errors, label_studio_settings
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
    Cache,
    DatasetArgument,
    DocumentRoot,
    Force,
    ImageColumn,
    Images,
    LabelColumn,
    ProjectTitle,
    ReadAs,
    Seed,
    Skip,
    load,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ml.audit import Findings


def audit(
    source: DatasetArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for everything; default: DATASET-audit, and corrected_labels.jsonl beside it.",
        ),
    ] = None,
    precision: Annotated[
        float, typer.Option(min=0.01, max=1, help="Correct labels whose correction is at least this sure.")
    ] = 0.9,
    truth: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the true class, where known, to measure by.")
    ] = "",
    plane: Annotated[
        Literal["pca", "tsne", "umap"], typer.Option("--map", help="How the report's map is made.")
    ] = "tsne",
    pictures: Annotated[int, typer.Option(min=0, help="Suspects to draw.")] = 60,
    parquet: Annotated[
        bool | None,
        typer.Option(
            "--parquet/--no-parquet", help="Write issues.parquet; default: if pyarrow is installed."
        ),
    ] = None,
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="Correct nothing; make a Label Studio project of the suspects, so that people decide.",
        ),
    ] = False,
    review_all: Annotated[
        bool, typer.Option("--review-all", help="With --review: all images, the suspects first.")
    ] = False,
    project_title: ProjectTitle = "",
    document_root: DocumentRoot = None,
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
    """Find wrong labels in a dataset, correct those that are sure, and write a report.

    Example: `lineup audit photos/`

    Example: `lineup audit labels.csv --review`

    Example: `lineup audit labels.csv --backbone resnet50 --out audit --precision 0.95`
    """
    with clear_errors():
        from ml.audit import Places, write_audit
        from ml.audit import audit as find_errors
        from ml.audit.write import Outputs
        from ml.datasets.example import list_problems

        settings = label_studio_settings() if review else None
        outputs = Outputs(parquet, pictures, plane, seed)
        outputs.check()
        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        places = Places.of(dataset.source, out)
        places.check(dataset, force=force)
        with steps("starting") as bar:
            from ml.embedders import make_embedder

            network = make_embedder(backbone, allow_noncommercial=allow_noncommercial)
            found = find_errors(
                dataset,
                network,
                cache=cache,
                precision=None if review else precision,
                truth=truth,
                skip_problems=skip_problems,
                progress=bar.progress,
                step=bar.step,
            )
            written = write_audit(
                found,
                places,
                title=dataset.source.resolve().name,
                embedder=network.name,
                outputs=outputs,
                force=force,
                step=bar.step,
            )
            made = None
            if settings and len(found.suspects):
                from backend.labelstudio.client import LabelStudioClient
                from backend.review import create_review

                bar.step("importing into Label Studio")
                with LabelStudioClient(settings.label_studio_url, settings.api_key) as client:
                    made = create_review(
                        client,
                        found,
                        title=project_title or f"Review of {dataset.source.resolve().name}",
                        prefix=settings.field_prefix,
                        everything=review_all,
                        document_root=document_root,
                        progress=bar.progress,
                    )
        if network.note:
            errors.print(f"[yellow]note:[/] {network.note}", highlight=False, soft_wrap=True)
        if found.problems:
            errors.print(
                f"[yellow]left out:[/]\n{list_problems(found.problems)}",
                highlight=False,
                soft_wrap=True,
                markup=True,
            )
        console.print(_summary(found))
        for path in written:
            console.print(f"  {path}", highlight=False, soft_wrap=True, markup=False)
        if made:
            console.print(
                f"Project {made.project_id} with {made.tasks} tasks: {made.url}",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
        elif review:
            console.print("No label is suspect, so no project was made.")


def _summary(found: Findings) -> Table:
    """Return the figures of an audit as a table."""
    from rich.table import Table

    from ml.audit.findings import CORRECTED, SUSPECT
    from ml.audit.sections import against_truth

    counts, labelled = found.counts, int(found.labelled.sum())
    rows = [
        ("images", f"{len(found):,}"),
        ("with a label", f"{labelled:,}, {len(found.classes)} classes"),
        ("expected to be wrong", f"{found.expected_wrong:,.0f} ({found.expected_wrong / labelled:.1%})"),
        *(
            [("corrected", f"{counts[CORRECTED]:,}, each at least {found.precision:.0%} sure")]
            if found.precision is not None
            else []
        ),
        ("for a person to look at", f"{counts[SUSPECT]:,}"),
        ("image faults", f"{sum(map(bool, found.fault)):,}"),
        ("outliers", f"{int((found.statistics['outlier'] >= 0.5).sum()):,}"),
        ("near-duplicates", f"{found.duplicates:,}"),
        ("left out", f"{len(found.problems):,}"),
    ]
    measured = against_truth(found)
    if measured:
        rows += [
            ("known to be wrong", f"{measured['wrong']:,} of {measured['known']:,}"),
            ("listed, of these wrong", f"{measured['listed']:,}, {measured['listed_wrong']:,}"),
            ("corrected, of these right", f"{measured['corrected']:,}, {measured['corrected_right']:,}"),
        ]
        if measured["average_precision"] is not None:
            rows.append(("average precision", f"{measured['average_precision']:.3f}"))
    table = Table(show_header=False, title="Audit", title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table
