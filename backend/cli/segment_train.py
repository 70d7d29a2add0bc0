"""`lineup segment train`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.masks import Classes, Ignore, ReadMasksAs, load_masks, mask_options
from backend.cli.reading import AllowNoncommercial, Cache, Images, Skip
from backend.cli.training_config import Settings, load_config_of

if TYPE_CHECKING:
    from ml.datasets import Problem
    from ml.training.fit import Trained
    from ml.training.loop import TrainingProgress


def train(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[DATASET]", help="Folder or file with masks, or project:ID of Label Studio."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file; see `lineup config --segment --example`."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model.class_name: the encoder, a timm model or a short name.")
    ] = "",
    weights: Annotated[
        str, typer.Option(help="Model.weights: pretrained, scratch, or the path of a checkpoint.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(min=1, help="Training.epochs.")] = None,
    settings: Settings = None,
    runs: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the run folders.", show_default="runs")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Take up a run that was stopped.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the configuration this would train with, and end.")
    ] = False,
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadMasksAs = "",
    images: Images = None,
    classes: Classes = "",
    ignore: Ignore = 255,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Training.seed: the same seed, the same network.")
    ] = None,
    skip_problems: Skip = False,
) -> None:
    """Train a UNet on masks, in a folder of its own: weights, metrics, curves, TensorBoard.

    The part train is learned from and val tells the best epoch; without val a share is held out.

    Example: `lineup segment train scans/ --model resnet18 --epochs 20`

    Example: `lineup segment train scans/ --config unet.yaml --set Training.class_weights=1`

    Example: `lineup segment train --resume runs/2025-03-01_10-00-00`
    """
    named = {
        "Model.class_name": model, "Model.weights": weights, "Training.epochs": epochs, "Training.seed": seed,
    }  # fmt: skip
    with clear_errors():
        from ml.segmentation.unet.config import UNetConfig
        from ml.segmentation.unet.fit import resume_unet, train_unet
        from ml.segmentation.unet.run import DATASET, ReadHow
        from ml.training.yaml_file import write_config

        if resume is not None:
            if source or config or settings or any(value not in (None, "") for value in named.values()):
                raise Failure(
                    "a run that is taken up has its own masks and configuration: --resume RUN alone", 2
                )
            with _bars() as told:
                done = resume_unet(
                    resume,
                    read=partial(load_masks, skip=True, cache=cache),
                    skip_problems=skip_problems,
                    allow_noncommercial=allow_noncommercial,
                    **told,
                )
            _tell(done, [])
            return
        chosen = load_config_of(UNetConfig, config, settings, named)
        if print_config:
            typer.echo(write_config(chosen), nl=False)
            return
        source = source or chosen.dataset.dataset_path
        if source is None:
            raise Failure("give a DATASET, or Dataset.dataset_path in the configuration", 2)
        if (source / DATASET).is_file() and (source / "config.yaml").is_file():
            raise Failure(f"{source} is a run: to go on with it, lineup segment train --resume {source}", 2)
        options = mask_options(images, classes, ignore)
        found = load_masks(source, read_as, options, skip_problems, cache=cache)
        with _bars() as told:
            done = train_unet(
                chosen,
                found,
                how=ReadHow(source, read_as, options),
                runs=runs or Path("runs"),
                cache=cache,
                skip_problems=skip_problems,
                allow_noncommercial=allow_noncommercial,
                compared=told["decoded"],
                begun=lambda path: console.print(f"run: {path}", highlight=False, soft_wrap=True),
                **told,
            )
        _tell(done, found.problems)


@contextmanager
def _bars() -> Iterator[dict[str, Any]]:
    """Show the progress, and a line an epoch."""
    with steps("reading images and masks") as bar:

        def report(now: TrainingProgress) -> None:
            bar.name(f"epoch {now.epoch}/{now.epochs}, {now.images_per_second:.1f} images/s")
            bar.progress((now.epoch - 1) * now.steps + now.step, now.epochs * now.steps)
            if now.record is not None:
                found = now.record
                bar.line(
                    f"epoch {found['epoch']}: loss {found['train_loss']:.4f}, mean Dice {found['mean_dice']:.4f}, "
                    f"mean IoU {found['mean_iou']:.4f}, {found['images_per_second']:.1f} images/s"
                )

        yield {"decoded": bar.progress, "report": report}


def _tell(done: Trained, problems: list[Problem]) -> None:
    best = done.best
    console.print(
        f"Best epoch {best['epoch']} of {len(done.history)}: mean Dice {best['mean_dice']:.4f}, "
        f"mean IoU {best['mean_iou']:.4f}. Network: {done.model}",
        highlight=False,
        soft_wrap=True,
    )
    tell_problems([*problems, *done.problems])
