"""Embedders: from images to vectors. One module a family, one registry line each."""

from __future__ import annotations

from dataclasses import dataclass

from ml.embedders.aliases import ALIASES
from ml.embedders.base import Embedder, WeightsNotAllowed, WeightsUnavailable
from ml.embedders.names import Factory, make_by_name
from ml.embedders.stream import Streamed, embed_stream

__all__ = [
    "ALIASES",
    "EMBEDDERS",
    "Embedder",
    "Streamed",
    "WeightsNotAllowed",
    "WeightsUnavailable",
    "embed_stream",
    "make_embedder",
]


@dataclass(frozen=True, slots=True)
class Options:
    """What `make_embedder` was asked for besides the name."""

    threads: int | None
    image_size: int | None
    allow_noncommercial: bool
    precision: str
    jpeg_on_gpu: bool


def _pixels(argument: str, options: Options) -> Embedder:
    from ml.embedders.pixels import PixelsEmbedder

    if argument:
        raise ValueError(f"the pixels embedder takes no argument, got {argument!r}")
    return PixelsEmbedder(threads=options.threads)


def _timm(argument: str, options: Options) -> Embedder:
    from ml.embedders.timm_backbone import TimmEmbedder

    model, _, checkpoint = argument.partition("@")
    if not model:
        raise ValueError("the timm embedder needs a model name, for example timm:resnet18")
    return TimmEmbedder(
        model,
        checkpoint=checkpoint or None,
        image_size=options.image_size,
        threads=options.threads,
        allow_noncommercial=options.allow_noncommercial,
        precision=options.precision,
        jpeg_on_gpu=options.jpeg_on_gpu,
    )


EMBEDDERS: dict[str, Factory[Options, Embedder]] = {"pixels": _pixels, "timm": _timm}


def make_embedder(
    name: str,
    *,
    allow_fallback: bool = True,
    allow_noncommercial: bool = False,
    threads: int | None = None,
    image_size: int | None = None,
    precision: str = "auto",
    jpeg_on_gpu: bool = False,
) -> Embedder:
    """Build an embedder by name.

    Parameters
    ----------
    name : str
        ``auto`` (a mobile ConvNet on a CPU, a small ViT on a GPU), ``pixels`` (no weights), an alias such as
        ``b0``, ``resnet18``, ``resnet50``, ``mobilenet``, ``swin`` or ``vit``, ``timm:MODEL`` for any timm
        model, or ``timm:MODEL@PATH`` for one with the weights of a local checkpoint.
    allow_fallback : bool
        Whether ``auto`` may become ``pixels`` where its weights cannot be had; the embedder's ``note`` and
        the log then say so. A backbone asked for by name never falls back.
    allow_noncommercial : bool
        Accept weights whose licence is not known to allow commercial use.
    threads : int, optional
        Cores to use; default: all this process may use.
    image_size : int, optional
        Input side of a backbone; default: its own.
    precision : str
        ``auto`` (half where the processor is made for it) or ``fp32``.
    jpeg_on_gpu : bool
        Decode JPEG files on the GPU; see `ml.embedders.timm_backbone.TimmEmbedder`.

    Raises
    ------
    ValueError
        If the name is unknown.
    WeightsUnavailable
        If weights cannot be had and falling back is not allowed or does not apply.
    WeightsNotAllowed
        If the weights' licence does not allow commercial use and that was not accepted.
    """
    options = Options(threads, image_size, allow_noncommercial, precision, jpeg_on_gpu)
    return make_by_name(name, EMBEDDERS, options, allow_fallback=allow_fallback)
