"""`lineup train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console
from backend.cli.datasets import Noncommercial, Skip, tell_problems
from backend.cli.reading import ImageColumn, Images, LabelColumn, ReadAs, Settings, load, load_config

if TYPE_CHECKING:
    from ml.datasets import Example, Problem
    from ml.training.fit import Trained
    from ml.training.trainer import Moment


def train(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[DATASET]", help="File, folder, or what `lineup split` wrote."),
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
    runs: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run folders.")] = Path("runs"),
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Take up a run that was stopped.")
    ] = None,
    read_as: ReadAs = "",
    images: Images = None,
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="Training.seed: the same seed, the same network.")
    ] = None,
    allow_noncommercial: Noncommercial = False,
    skip_problems: Skip = False,
) -> None:
    """Train a classifier end to end, in a folder of its own: weights, metrics, curves, TensorBoard.

    Example: `lineup train photos/ --model resnet18 --epochs 10`

    Example: `lineup train parts --config training.yaml --set Training.mixup=0.2`

    Example: `torchrun --nproc-per-node 4 -m backend.cli train parts`
    """
    with clear_errors():
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
        named = {
            "Model.class_name": model, "Model.weights": weights, "Training.epochs": epochs, "Training.seed": seed,
        }  # fmt: skip
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
                runs=runs,
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

        def report(moment: Moment) -> None:
            bar.name(f"epoch {moment.epoch}/{moment.epochs}, {moment.images_per_second:.0f} images/s")
            bar.progress((moment.epoch - 1) * moment.steps + moment.step, moment.epochs * moment.steps)
            if moment.record is not None:
                found = moment.record
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
