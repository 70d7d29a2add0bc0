"""From cached images to a batch: the changes that `Dataset.transform` asks for, each image with its own seed."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset
from torchvision.transforms import v2

from ml.training.transforms_config import ColorJitter, Transform

if TYPE_CHECKING:
    import numpy as np


def training_transform(config: Transform, shape: tuple[int, int]) -> v2.Compose | None:
    """Return what changes a training image (uint8, three planes), None where nothing does.

    Parameters
    ----------
    config : Transform
    shape : (int, int)
        Height and width that images are cached in.
    """
    steps: list[torch.nn.Module] = []
    bilinear = v2.InterpolationMode.BILINEAR
    if turn := config.rotation:
        steps.append(_sometimes(v2.RandomRotation(turn.degrees, interpolation=bilinear), turn.p))
    if tilt := config.perspective:
        steps.append(v2.RandomPerspective(tilt.distortion, p=tilt.p, interpolation=bilinear))
    if (crop := config.random_crop) and crop.shape:
        steps.append(v2.RandomCrop(crop.shape))
    elif crop and crop.scale:
        steps.append(v2.RandomResizedCrop(shape, scale=crop.scale, antialias=True))
    if config.hflip:
        steps.append(v2.RandomHorizontalFlip(config.hflip.p))
    if config.vflip:
        steps.append(v2.RandomVerticalFlip(config.vflip.p))
    if colour := config.color_jitter:
        steps.append(colour_change(colour))
    if blur := config.blur:
        steps.append(_sometimes(v2.GaussianBlur(blur.kernel, blur.sigma), blur.p))
    return v2.Compose(steps) if steps else None


def plain_transform(config: Transform) -> v2.CenterCrop | None:
    """Return what makes an image that is only judged as large as one that is trained on, None if it is."""
    crop = config.random_crop and config.random_crop.shape
    return v2.CenterCrop(crop) if crop else None


def colour_change(config: ColorJitter) -> torch.nn.Module:
    """Return what changes the colours of an image, as often as configured."""
    jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
    return _sometimes(jitter, config.p)


def _sometimes(step: torch.nn.Module, p: float) -> torch.nn.Module:
    return step if p >= 1 else v2.RandomApply([step], p)


def image_seed(*numbers: int) -> int:
    """Return 32 bits that depend on all numbers, whatever process asks."""
    return int.from_bytes(blake2b(repr(numbers).encode(), digest_size=4).digest(), "big")


class AugmentedImages(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Cached images as a batch asks for them: by row, and by the seed of their change.

    What becomes of an image depends on its seed alone, not on the process or the order, so a training that is
    taken up again sees what it would have seen.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, height, width, 3)
    transform : torchvision transform or None
    """

    def __init__(self, pixels: np.ndarray, transform: torch.nn.Module | None) -> None:
        self.pixels = pixels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitems__(self, wanted: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images as uint8 of shape (n, height, width, 3), and their rows."""
        rows = [row for row, _ in wanted]
        images = torch.from_numpy(self.pixels[rows])
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                changed = [
                    self._change(image.movedim(-1, 0), seed)
                    for image, (_, seed) in zip(images, wanted, strict=True)
                ]
            images = torch.stack(changed).movedim(1, -1)
        return images, torch.tensor(rows)

    def _change(self, image: torch.Tensor, seed: int) -> torch.Tensor:
        assert self.transform is not None
        torch.default_generator.manual_seed(seed)
        changed: torch.Tensor = self.transform(image)
        return changed
