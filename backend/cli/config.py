"""`lineup config`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.common import Failure, clear_errors, console


def config(
    path: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="YAML file to check.")] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print one with every key, its default and its meaning.")
    ] = False,
    segment: Annotated[
        bool, typer.Option("--segment", help="Of `lineup segment train` instead of `lineup train`.")
    ] = False,
) -> None:
    """Check the YAML configuration of a training or an audit, or print an example.

    Example: `lineup config --example > training.yaml`

    Example: `lineup config training.yaml`

    Example: `lineup config --segment --example > unet.yaml`
    """
    with clear_errors():
        from ml.segmentation.unet.config import UNetConfig
        from ml.training.config import TrainingConfig, WholeConfig
        from ml.training.example_config import example_config
        from ml.training.network import resolve_model
        from ml.training.yaml_file import read_config_of

        if example == (path is not None):
            raise Failure("give a FILE to check, or --example", 2)
        kind: type[WholeConfig] = UNetConfig if segment else TrainingConfig
        if path is None:
            typer.echo(example_config(kind), nl=False)
            return
        found = read_config_of(kind, path)
        model = resolve_model(found.model.class_name)
        console.print(
            f"{path} is well: {model}, {found.training.epochs} epochs.", highlight=False, soft_wrap=True
        )
