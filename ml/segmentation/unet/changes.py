"""From cached images and masks to a batch of crops: both are changed alike, each by its own seed."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import Dataset

from ml.segmentation.sizes import shrink_mask
from ml.segmentation.unet.cache import CachedScenes
from ml.segmentation.unet.config import STRIDE, MaskTransform
from ml.training.augment import colour_change

NOT_LABELLED = -1  # of pixels that nobody labelled, or that are outside the image


class SceneChange:
    """Cuts a random window out of an image and its mask, resizes and mirrors both, and changes the image's colours.

    Chance is torch's, so that whoever seeds it gets the same crop again.

    Parameters
    ----------
    config : MaskTransform
    crop : (int, int)
        Height and width of what comes out.
    ignore : int or None
        Number of the mask's pixels that nobody labelled.
    """

    def __init__(self, config: MaskTransform, crop: tuple[int, int], ignore: int | None) -> None:
        self.config, self.crop, self.ignore = config, crop, ignore
        self._colours = colour_change(config.color_jitter) if config.color_jitter else None

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a crop, uint8 of shape (3, *crop), and its classes, int32 of shape ``crop``.

        Where the window is larger than the image, the rest is grey and not labelled.

        Parameters
        ----------
        image : ndarray of uint8, shape (h, w, 3)
        mask : ndarray, shape (h, w)
        """
        factor = self._factor()
        spans = [_span(full, out, factor) for full, out in zip(mask.shape, self.crop, strict=True)]
        (top, height, rows), (left, width, columns) = spans
        window = torch.from_numpy(np.array(image[top : top + height, left : left + width])).permute(2, 0, 1)
        pixels = window[None]
        if (height, width) != (rows, columns):
            pixels = functional.interpolate(pixels, (rows, columns), mode="bilinear", antialias=True)
        pixels = pixels[0] if self._colours is None else self._colours(pixels[0])
        numbers = shrink_mask(mask[top : top + height, left : left + width], (rows, columns)).astype(np.int32)
        if self.ignore is not None:
            numbers[numbers == self.ignore] = NOT_LABELLED
        classes = torch.from_numpy(numbers)
        for flip, axis in ((self.config.hflip, -1), (self.config.vflip, -2)):
            if flip is not None and float(torch.rand(())) < flip.p:
                pixels, classes = pixels.flip(axis), classes.flip(axis)
        # where an image is smaller than the crop, it lies anywhere in it
        rest = self.crop[0] - rows, self.crop[1] - columns
        above, before = (int(torch.randint(0, some + 1, ())) for some in rest)
        padding = (before, rest[1] - before, above, rest[0] - above)
        return functional.pad(pixels, padding, value=127), functional.pad(
            classes, padding, value=NOT_LABELLED
        )

    def _factor(self) -> float:
        if self.config.scale is None:
            return 1.0
        # as often half as twice
        low, high = map(math.log, self.config.scale)
        return math.exp(low + (high - low) * float(torch.rand(())))


def _span(full: int, out: int, factor: float) -> tuple[int, int, int]:
    """Return where a window begins along an axis, its length, and that length resized."""
    length = min(full, max(1, round(out / factor)))
    start = int(torch.randint(0, full - length + 1, ()))
    return start, length, min(out, max(1, round(length * factor)))


def crop_shape(config: MaskTransform, sizes: np.ndarray) -> tuple[int, int]:
    """Return height and width of the crops: as configured, else of the largest image, up to whole strides.

    Parameters
    ----------
    config : MaskTransform
    sizes : ndarray of int, shape (n, 2)
        Heights and widths of the training images at work size.
    """
    height, width = config.crop.shape if config.crop is not None else sizes.max(axis=0).tolist()
    return height + -height % STRIDE, width + -width % STRIDE


class ChangedScenes(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Cached scenes as a batch asks for them: by row, and by the seed of their change.

    What becomes of a scene depends on its seed alone, not on the process or the order, so a training that is taken up
    again sees what it would have seen.
    """

    def __init__(self, scenes: CachedScenes, change: SceneChange) -> None:
        self.scenes, self.change = scenes, change

    def __len__(self) -> int:
        return len(self.scenes.places)

    def __getitems__(self, wanted: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images, uint8 of shape (n, 3, *crop), and their classes, int32 of shape (n, *crop)."""
        with torch.random.fork_rng(devices=[]):
            made = [self._change(row, seed) for row, seed in wanted]
        images, classes = zip(*made, strict=True)
        return torch.stack(images), torch.stack(classes)

    def _change(self, row: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.default_generator.manual_seed(seed)
        return self.change(self.scenes.image(row), self.scenes.mask(row))
