"""How a command is told the configuration of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.training.config import TrainingConfig

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration: Training.lr=3e-4."),
]


def load_config(path: Path | None, settings: list[str] | None, named: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration in a file, or the default one, with what other options set.

    Parameters
    ----------
    path : Path or None
    settings : list of str or None
        Of ``--set``; they go before all else.
    named : mapping of str to object
        Values of dotted keys; those that are None or empty say nothing.
    """
    from ml.training.yaml_file import check_config, parse_override, read_config

    overrides = {key: value for key, value in named.items() if value not in (None, "")}
    overrides |= dict(map(parse_override, settings or ()))
    return read_config(path, overrides) if path else check_config({}, overrides)
