"""Views of an image for averaging at test time: only what the training has shown the network, too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from ml.training.transforms_config import Transform

View = Callable[[torch.Tensor], torch.Tensor]
_CLOSER = 0.875  # of a side


def make_views(config: Transform) -> list[View]:
    """Return functions of images (n, 3, height, width) to images of the same size; the first changes nothing.

    Raises
    ------
    ValueError
        If the training has shown the network nothing but the images as they are.
    """
    views = known_views(config)
    if len(views) == 1:
        raise ValueError(
            "the network was trained without flips and crops (Dataset.transform), so there is no other view of an "
            "image to average over: leave out --tta"
        )
    return views


def known_views(config: Transform) -> list[View]:
    """Return the same, where there may be no other than the image as it is."""
    views: list[View] = [lambda images: images]
    if config.hflip:
        views.append(functional.horizontal_flip)
    if config.vflip:
        views.append(functional.vertical_flip)
    if config.random_crop:
        views += [_then(view, _closer) for view in views]
    return views


def _then(first: View, second: View) -> View:
    return lambda images: second(first(images))


def _closer(images: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    centre = v2.functional.center_crop(images, [round(_CLOSER * height), round(_CLOSER * width)])
    return functional.resize(centre, [height, width], antialias=True)
