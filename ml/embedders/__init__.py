"""Embedders: from images to vectors. One module a family, one registry line each."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ml.embedders.base import Embedder, WeightsUnavailable

__all__ = ["EMBEDDERS", "Embedder", "WeightsUnavailable", "make_embedder"]

log = logging.getLogger(__name__)

Factory = Callable[[str, int | None], Embedder]


def _pixels(argument: str, threads: int | None) -> Embedder:
    from ml.embedders.pixels import PixelsEmbedder

    if argument:
        raise ValueError(f"the pixels embedder takes no argument, got {argument!r}")
    return PixelsEmbedder()


def _timm(argument: str, threads: int | None) -> Embedder:
    from ml.embedders.timm_backbone import TimmEmbedder

    model, _, checkpoint = argument.partition("@")
    if not model:
        raise ValueError("the timm embedder needs a model name, for example timm:resnet18")
    return TimmEmbedder(model, checkpoint=checkpoint or None, threads=threads)


def _auto(argument: str, threads: int | None) -> Embedder:
    from ml.embedders.timm_backbone import default_backbone

    if argument:
        raise ValueError(f"the auto embedder takes no argument, got {argument!r}")
    return default_backbone(threads)


EMBEDDERS: dict[str, Factory] = {"auto": _auto, "pixels": _pixels, "timm": _timm}


def make_embedder(name: str, *, allow_fallback: bool = True, threads: int | None = None) -> Embedder:
    """Build an embedder by name.

    Parameters
    ----------
    name : str
        ``auto`` (a mobile ConvNet on a CPU, a small ViT on a GPU), ``pixels`` (no weights), ``timm:MODEL``
        for any timm model, or ``timm:MODEL@PATH`` for one with the weights of a local checkpoint.
    allow_fallback : bool
        Whether ``auto`` may become ``pixels`` where its weights cannot be had; the embedder's ``note`` and
        the log then say so. A backbone asked for by name never falls back.
    threads : int, optional
        Threads of the forward pass; default: the library's own choice.

    Raises
    ------
    ValueError
        If the name is unknown.
    WeightsUnavailable
        If weights cannot be had and falling back is not allowed or does not apply.
    """
    family, _, argument = name.strip().partition(":")
    factory = EMBEDDERS.get(family)
    if factory is None:
        known = ", ".join(EMBEDDERS)
        raise ValueError(
            f"unknown embedder {name!r}: give one of {known} (timm as timm:MODEL or timm:MODEL@PATH)"
        )
    try:
        return factory(argument, threads)
    except WeightsUnavailable as error:
        if family != "auto" or not allow_fallback:
            raise
        log.warning("FALLBACK to the pixels embedder, vectors are much weaker: %s", error)
        embedder = _pixels("", threads)
        embedder.note = f"fallback to pixels: {error}"
        return embedder
