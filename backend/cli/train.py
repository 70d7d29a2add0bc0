"""`lineup train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.reading import AllowNoncommercial, ImageColumn, Images, LabelColumn, ReadAs, Skip, load
from backend.cli.training_config import Settings, load_config

if TYPE_CHECKING:
    from ml.datasets import Example, Problem
    from ml.training.fit import Trained
    from ml.training.loop import TrainingProgress


def train(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[DATASET]", help="File, folder, what `lineup split` wrote, or project:ID."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file; see `lineup config --example`.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model.class_name: a timm model or a short name.")] = "",
    weights: Annotated[
        str, typer.Option(help="Model.weights: pretrained, scratch, or the path of a checkpoint.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Training.epochs.")] = None,
    settings: Settings = None,
    valid: Annotated[
        Path | None, typer.Option("--valid", metavar="DATASET", help="To validate on, instead of a part.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run folders.", show_default="runs")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Take up a run that was stopped.")
    ] = None,
    allow_noncommercial: AllowNoncommercial = False,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Training.seed: the same seed, the same network.")
    ] = None,
    skip_problems: Skip = False,
    project: Annotated[
        int | None,
        typer.Option(
            "--project", "-p", min=1, help="Train a backbone on a Label Studio project instead of a dataset."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --project: publish it even if it is not better.")
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="With --project: call it off, and go back to the setting EMBEDDER.")
    ] = False,
) -> None:
    """Train a classifier end to end, in a folder of its own: weights, metrics, curves, TensorBoard.

    With --project: a backbone for that project's loop, published if it is better on labels held out.

    Example: `lineup train photos/ --model resnet18 --epochs 10`

    Example: `lineup train --project 7 --epochs 5`

    Example: `lineup train parts --config training.yaml --set Training.mixup=0.2`

    Example: `torchrun --nproc-per-node 4 -m backend.cli train parts`
    """
    named = {
        "Model.class_name": model, "Model.weights": weights, "Training.epochs": epochs, "Training.seed": seed,
    }  # fmt: skip
    with clear_errors():
        if project is not None:
            if source or valid or resume or read_as or images or image_column or label_column:
                raise Failure("a project has its own images: --project takes no dataset, and no --resume", 2)
            if runs is not None:
                raise Failure("a project's backbones are kept in MODEL_DIR: --project takes no --out", 2)
            if skip_problems:
                raise Failure("images of a project that cannot be used are left out: no --skip-problems", 2)
            if allow_noncommercial:
                raise Failure(
                    "whoever does the training must know: set ALLOW_NONCOMMERCIAL=true instead of "
                    "--allow-noncommercial",
                    2,
                )
            from backend.cli.train_project import drop_backbone, train_project

            if drop:
                if force or config or settings or any(value not in (None, "") for value in named.values()):
                    raise Failure("--drop trains nothing: it takes no configuration and no --force", 2)
                drop_backbone(project)
            else:
                train_project(project, load_config(config, settings, named), force=force)
            return
        if force or drop:
            raise Failure("--force and --drop are for --project", 2)
        from ml.training.fit import resume_network, train_network

        if resume is not None:
            if source or config or settings or model or weights or epochs or valid or seed is not None:
                raise Failure(
                    "a run that is taken up has its own dataset and configuration: --resume RUN alone", 2
                )
            with _bars() as told:
                done = resume_network(
                    resume, skip_problems=skip_problems, allow_noncommercial=allow_noncommercial, **told
                )
            _tell(done, [])
            return
        chosen = load_config(config, settings, named)
        source = source or chosen.dataset.dataset_path
        if source is None:
            raise Failure("give a DATASET, or Dataset.dataset_path in the configuration", 2)
        how = (read_as, images, image_column, label_column, skip_problems)
        learn, hold, problems = _datasets(source, valid, how)
        with _bars() as told:
            done = train_network(
                chosen,
                learn,
                hold,
                runs=runs or Path("runs"),
                skip_problems=skip_problems,
                allow_noncommercial=allow_noncommercial,
                begun=lambda path: console.print(f"run: {path}", highlight=False, soft_wrap=True),
                **told,
            )
        _tell(done, problems)


def _datasets(
    source: Path, valid: Path | None, how: tuple[Any, ...]
) -> tuple[list[Example], list[Example] | None, list[Problem]]:
    from ml.training.split import read_split

    parts = read_split(source) if valid is None else None
    if parts is not None:
        return *parts, []
    learn = load(source, *how)
    hold = load(valid, *how) if valid else None
    return learn.examples, hold.examples if hold else None, learn.problems + (hold.problems if hold else [])


@contextmanager
def _bars() -> Iterator[dict[str, Callable[..., None]]]:
    """Show the progress, and a line an epoch."""
    with steps("decoding") as bar:

        def report(now: TrainingProgress) -> None:
            bar.name(f"epoch {now.epoch}/{now.epochs}, {now.images_per_second:.0f} images/s")
            bar.progress((now.epoch - 1) * now.steps + now.step, now.epochs * now.steps)
            if now.record is not None:
                found = now.record
                bar.line(
                    f"epoch {found['epoch']}: loss {found['train_loss']:.4f}, macro F1 {found['macro_f1']:.4f}, "
                    f"accuracy {found['accuracy']:.4f}, {found['images_per_second']:.0f} images/s"
                )

        yield {"decoded": bar.progress, "report": report}


def _tell(done: Trained, problems: list[Problem]) -> None:
    best = done.best
    console.print(
        f"Best epoch {best['epoch']} of {len(done.history)}: macro F1 {best['macro_f1']:.4f}, "
        f"accuracy {best['accuracy']:.4f}. Network: {done.model}",
        highlight=False,
        soft_wrap=True,
    )
    tell_problems([*problems, *done.problems])
