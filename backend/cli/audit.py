"""`lineup audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend.cli.audit_masks import MaskAuditing, audit_set, no_such
from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console, errors, label_studio_settings
from backend.cli.datasets import tell_problems
from backend.cli.masks import Classes, Ignore, are_masks, load_masks, mask_options
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
    Cache,
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
from backend.cli.training_config import Settings, load_config

if TYPE_CHECKING:
    from rich.table import Table

    from ml.audit import Findings
    from ml.training.config import TrainingConfig

_DRAWN = 60


def audit(
    source: Annotated[
        Path | None, typer.Argument(metavar="[DATASET]", help="File or folder to audit, or project:ID.")
    ] = None,
    train: Annotated[
        bool,
        typer.Option("--train", help="Judge labels by networks trained on folds, not by frozen vectors."),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", help="YAML file of a training; see `lineup config --example`. Implies --train."
        ),
    ] = None,
    settings: Settings = None,
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
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="What is audited: classification or segmentation; default: what the dataset looks like.",
        ),
    ] = "",
    part: Annotated[
        str,
        typer.Option("--part", metavar="NAME", help="Of masks: judge this part alone: train, val or test."),
    ] = "",
    classes: Classes = "",
    ignore: Ignore = 255,
    truth: Annotated[
        str, typer.Option(metavar="COLUMN", help="Column with the true class, where known, to measure by.")
    ] = "",
    plane: Annotated[
        Literal["pca", "tsne", "umap"], typer.Option("--map", help="How the report's map is made.")
    ] = "tsne",
    pictures: Annotated[
        int | None,
        typer.Option(min=0, help="Suspects to draw; default: 60, with --config what do_visualize says."),
    ] = None,
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
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Of the map and the training; all else leaves nothing to chance."),
    ] = None,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Find wrong labels in a dataset, correct those that are sure, and write a report.

    Of masks (MMSegmentation folders, COCO, PNG masks, a Label Studio export or project) nothing is corrected: suspects
    are drawn beside the prediction, with the place to look at.

    Example: `lineup audit photos/`

    Example: `lineup audit scans/ --review`

    Example: `lineup audit labels.csv --review`

    Example: `lineup audit labels.csv --backbone resnet50 --out audit --precision 0.95`

    Example: `lineup audit photos/ --config training.yaml`
    """
    with clear_errors():
        from ml.audit import Places, write_audit
        from ml.audit.write import Outputs

        chosen = None
        if train or config:
            chosen = load_config(config, settings, {"Training.seed": seed})
        elif settings:
            raise Failure("--set sets keys of a training: it needs --train or --config", 2)
        source = source or (chosen.dataset.dataset_path if chosen else None)
        if source is None:
            raise Failure("give a DATASET, or Dataset.dataset_path in the configuration", 2)
        if are_masks(source, read_as, task=task, option="--task classification or --task segmentation"):
            no_such(source, train=train, config=config, truth=truth, label_column=label_column)
            audit_set(
                load_masks(
                    source, read_as, mask_options(images, classes, ignore, image_column), skip_problems,
                    cache=cache,
                ),
                MaskAuditing(
                    out, part, _DRAWN if pictures is None else pictures, review, review_all, project_title,
                    document_root, backbone, allow_noncommercial, cache, seed or 0, skip_problems, force,
                ),
            )  # fmt: skip
            return
        studio = label_studio_settings() if review else None
        outputs = Outputs(parquet, _pictures(pictures, chosen if config else None), plane, seed or 0)
        outputs.check()
        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        places = Places.of(dataset.source, out)
        places.check(dataset, force=force)
        name = dataset.source.resolve().name
        title = project_title or f"Review of {name}"
        with steps("starting") as bar:
            from ml.embedders import make_embedder

            network = make_embedder(backbone, allow_noncommercial=allow_noncommercial)
            how: dict[str, Any] = {
                "cache": cache, "precision": None if review else precision, "truth": truth,
                "skip_problems": skip_problems, "progress": bar.progress, "step": bar.step,
            }  # fmt: skip
            if chosen:
                from ml.audit.trained import audit_by_training

                found = audit_by_training(
                    dataset, chosen, network, allow_noncommercial=allow_noncommercial, **how
                )
            else:
                from ml.audit import audit as audit_by_vectors

                found = audit_by_vectors(dataset, network, **how)
            written = write_audit(
                found, places, title=name, embedder=network.name, outputs=outputs, force=force,
                step=bar.step,
            )  # fmt: skip
            made = None
            if studio and len(found.suspects):
                from backend.labelstudio.client import LabelStudioClient
                from backend.review import create_review

                bar.step("importing into Label Studio")
                with LabelStudioClient(studio.label_studio_url, studio.api_key) as client:
                    made = create_review(
                        client, found, title=title, prefix=studio.field_prefix, everything=review_all,
                        document_root=document_root, progress=bar.progress,
                    )  # fmt: skip
        if network.note:
            errors.print(f"[yellow]note:[/] {network.note}", highlight=False, soft_wrap=True)
        tell_problems(found.problems)
        console.print(_summary(found))
        for path in written:
            console.print(f"  {path}", highlight=False, soft_wrap=True, markup=False)
        if made:
            console.print(
                f"Project {made.project_id} with {made.tasks} tasks: {made.url}",
                highlight=False, soft_wrap=True, markup=False,
            )  # fmt: skip
        elif review:
            console.print("No label is suspect, so no project was made.")


def _pictures(asked: int | None, config: TrainingConfig | None) -> int:
    """Return how many suspects to draw."""
    if asked is not None:
        return asked
    if config is None:
        return _DRAWN
    return config.num_images_to_vis if config.do_visualize else 0


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
