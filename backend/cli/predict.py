"""`lineup predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.reading import Cache, Force, ImageColumn, Images, LabelColumn, ReadAs, Skip, load

if TYPE_CHECKING:
    from ml.datasets import Dataset
    from ml.training.predict import Predictions


def predict(
    source: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="Folder of images, a list of them, or project:ID.")
    ],
    models: Annotated[
        list[Path],
        typer.Option("--model", "-m", help="A run, or its model.safetensors; several are an ensemble."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file to write.")] = Path("predictions.csv"),
    top: Annotated[int, typer.Option(min=1, help="Classes a row, the likeliest first.")] = 3,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over flips and crops, as far as the training had them.")
    ] = False,
    copy_to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Copy the images into a folder a class, for looking."),
    ] = None,
    macro_f1: Annotated[
        bool, typer.Option("--macro-f1", help="Compare with the labels that IMAGES come with.")
    ] = False,
    cache: Cache = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Classify images with networks that `lineup train` made.

    Example: `lineup predict new/ --model runs/2025-03-01_10-00-00 --copy-to sorted`

    Example: `lineup predict test.csv -m runs/a -m runs/b --tta --macro-f1`
    """
    with clear_errors():
        from ml.datasets import DatasetError, write_dataset
        from ml.datasets.example import unusable
        from ml.datasets.place import refuse_overwrite
        from ml.training.predict import load_classifiers, predict_images, prediction_rows

        for path in filter(None, (out, copy_to)):
            refuse_overwrite(path, force=force)
        dataset = load(source, read_as, images, image_column, label_column, skip_problems, cache=cache)
        classifiers = load_classifiers(models, views=tta)
        if macro_f1:
            _require_truth(dataset, classifiers[0].classes)
        with steps("classifying") as bar:
            found = predict_images(classifiers, dataset.examples, done=bar.progress)
        if found.problems and not skip_problems:
            raise DatasetError(unusable(found.problems, len(dataset)))
        rows = prediction_rows(found, top)
        write_dataset(rows, out, format="csv", force=force)
        console.print(f"Wrote {len(rows)} predictions to {out}.", highlight=False, soft_wrap=True)
        if copy_to is not None:
            write_dataset(rows, copy_to, format="folders", force=force)
            console.print(f"Copied the images to {copy_to}.", highlight=False, soft_wrap=True)
        if macro_f1:
            _tell_worth(found)
        tell_problems([*dataset.problems, *found.problems])


def _require_truth(dataset: Dataset, classes: list[str]) -> None:
    from ml.datasets import DatasetError
    from ml.datasets.encoding import encode
    from ml.training.material import labelled

    known = labelled(dataset.examples)
    if not known:
        raise DatasetError(f"--macro-f1 needs labels to compare with, and {dataset.source} has none")
    encode(known, classes)


def _tell_worth(found: Predictions) -> None:
    from rich.table import Table

    from ml.datasets.encoding import encode
    from ml.training.metrics import judge_classifier

    rows = [row for row, example in enumerate(found.examples) if example.label is not None]
    _, targets = encode([found.examples[row] for row in rows], found.classes)
    worth = judge_classifier(found.probabilities[rows], targets, len(found.classes))
    table = Table("class", "F1")
    for name, value in zip(found.classes, worth["f1"], strict=True):
        table.add_row(name, "-" if value is None else f"{value:.4f}")
    console.print(table)
    console.print(
        f"Macro F1 {worth['macro_f1']:.4f}, accuracy {worth['accuracy']:.4f} on {len(rows)} labelled images.",
        highlight=False,
    )
