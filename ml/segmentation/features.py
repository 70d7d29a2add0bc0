"""From an image to the features of its pixels; the names are those of `ml.embedders.make_embedder`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from ml.embedders.names import Factory, make_by_name
from ml.segmentation.pyramid import Pyramid

SIDE = 320


class PixelFeatures(Protocol):
    """Turns an image into a `Pyramid`.

    Attributes
    ----------
    name : str
        With ``auto`` and aliases resolved.
    fingerprint : str
        Safe as a file name; changes with everything that changes features: weights, size, precision.
    side : int
        Pixels the longer side is brought to; decoding much larger images in full is a waste.
    note : str or None
        Why these features stand in for the ones asked for.
    """

    name: str
    fingerprint: str
    side: int
    note: str | None

    def extract(self, image: Image.Image, size: tuple[int, int] | None = None) -> Pyramid:
        """Return an image's features; safe to call from several threads.

        Parameters
        ----------
        image : PIL.Image.Image
            RGB and upright, possibly reduced.
        size : (int, int), optional
            Height and width in full; default: the image's own.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Options:
    side: int
    allow_noncommercial: bool
    precision: str


def _pixels(argument: str, options: _Options) -> PixelFeatures:
    from ml.segmentation.hand_made import HandMadeFeatures

    if argument:
        raise ValueError(f"the pixels features take no argument, got {argument!r}")
    return HandMadeFeatures(options.side)


def _timm(argument: str, options: _Options) -> PixelFeatures:
    from ml.segmentation.backbone import BackboneFeatures

    model, _, checkpoint = argument.partition("@")
    if not model:
        raise ValueError("timm features need a model name, for example timm:resnet18")
    return BackboneFeatures(
        model,
        checkpoint=checkpoint or None,
        side=options.side,
        allow_noncommercial=options.allow_noncommercial,
        precision=options.precision,
    )


FEATURES: dict[str, Factory[_Options, PixelFeatures]] = {"pixels": _pixels, "timm": _timm}


def make_pixel_features(
    name: str,
    *,
    side: int = SIDE,
    allow_fallback: bool = True,
    allow_noncommercial: bool = False,
    precision: str = "auto",
) -> PixelFeatures:
    """Build pixel features by the name of an embedder; they fall back as it does, and raise what it raises.

    Parameters
    ----------
    name : str
        ``auto``, ``pixels`` (no weights), an alias, ``timm:MODEL`` or ``timm:MODEL@PATH``.
    side : int
        Pixels of an image's longer side; the shorter follows.
    allow_fallback, allow_noncommercial : bool
    precision : str
        ``auto`` or ``fp32``.

    Raises
    ------
    ValueError
        If the name is unknown or the side too small.
    WeightsUnavailable, WeightsNotAllowed
    """
    if side < 32:
        raise ValueError(f"pixel features need a side of at least 32 pixels, got {side}")
    options = _Options(side, allow_noncommercial, precision)
    return make_by_name(name, FEATURES, options, allow_fallback=allow_fallback)
