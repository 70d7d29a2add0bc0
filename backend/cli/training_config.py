"""How a command is told the configuration of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.training.config import TrainingConfig, WholeConfig

C = TypeVar("C", bound="WholeConfig")

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the configuration: Training.lr=3e-4."),
]


def load_config(path: Path | None, settings: list[str] | None, named: Mapping[str, Any]) -> TrainingConfig:
    """Return the configuration of a classifier; see `load_config_of`."""
    from ml.training.config import TrainingConfig

    return load_config_of(TrainingConfig, path, settings, named)


def load_config_of(
    kind: type[C], path: Path | None, settings: list[str] | None, named: Mapping[str, Any]
) -> C:
    """Return the configuration in a file, or the default one, with what other options set.

    Parameters
    ----------
    kind : type
        Of what is trained.
    path : Path or None
    settings : list of str or None
        Of ``--set``; they go before all else.
    named : mapping of str to object
        Values of dotted keys; those that are None or empty say nothing.
    """
    from ml.training.yaml_file import check_config_of, parse_override, read_config_of

    overrides = {key: value for key, value in named.items() if value not in (None, "")}
    overrides |= dict(map(parse_override, settings or ()))
    return read_config_of(kind, path, overrides) if path else check_config_of(kind, {}, overrides)
