"""What the name of a backbone stands for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from ml.embedders.aliases import ALIASES, AUTO_CPU, AUTO_GPU
from ml.embedders.base import WeightsUnavailable

log = logging.getLogger(__name__)


class Noted(Protocol):
    """What can say that it stands in for another."""

    note: str | None


Asked = TypeVar("Asked")
Made = TypeVar("Made", bound=Noted)
Factory = Callable[[str, Asked], Made]


def make_by_name(
    name: str, families: Mapping[str, Factory[Asked, Made]], options: Asked, *, allow_fallback: bool
) -> Made:
    """Build what a name stands for: ``auto``, an alias, ``FAMILY`` or ``FAMILY:ARGUMENT``.

    Parameters
    ----------
    name : str
    families : mapping of str to callable
        ``pixels`` and ``timm`` at least; each is given the argument and the options.
    options : object
    allow_fallback : bool
        Whether ``auto`` may become ``pixels``; see `ml.embedders.make_embedder`.

    Raises
    ------
    ValueError
        If the name is unknown.
    WeightsUnavailable
        If weights cannot be had and falling back is not allowed or does not apply.
    WeightsNotAllowed
        If the weights' licence does not allow commercial use and that was not accepted.
    """
    asked, _, argument = name.strip().partition(":")
    aliases = ALIASES | {"auto": _auto()} if asked == "auto" else ALIASES
    family = asked
    if asked in aliases:
        if argument:
            raise ValueError(
                f"the {asked} embedder takes no argument, got {argument!r}; with a checkpoint of your own: "
                f"timm:{aliases[asked]}@PATH"
            )
        family, argument = "timm", aliases[asked]
    factory = families.get(family)
    if factory is None:
        known = ", ".join(["auto", *families, *ALIASES])
        raise ValueError(
            f"unknown embedder {name!r}: give one of {known} (timm as timm:MODEL or timm:MODEL@PATH)"
        )
    try:
        return factory(argument, options)
    except WeightsUnavailable as error:
        if asked != "auto" or not allow_fallback:
            raise
        log.warning("FALLBACK to the pixels embedder, vectors are much weaker: %s", error)
        made = families["pixels"]("", options)
        made.note = f"fallback to pixels: {error}"
        return made


def _auto() -> str:
    import torch

    return ALIASES[AUTO_GPU if torch.cuda.is_available() else AUTO_CPU]
