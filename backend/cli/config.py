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
) -> None:
    """Check the YAML configuration of a training or an audit, or print an example.

    Example: `lineup config --example > training.yaml`

    Example: `lineup config training.yaml`
    """
    with clear_errors():
        from ml.training.example_config import example_config
        from ml.training.network import resolve_model
        from ml.training.yaml_file import read_config

        if example == (path is not None):
            raise Failure("give a FILE to check, or --example", 2)
        if path is None:
            typer.echo(example_config(), nl=False)
            return
        found = read_config(path)
        model = resolve_model(found.model.class_name)
        console.print(
            f"{path} is well: {model}, {found.training.epochs} epochs.", highlight=False, soft_wrap=True
        )
