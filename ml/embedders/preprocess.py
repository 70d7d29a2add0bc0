"""From a decoded image to a network's input as its weights were trained, in one resize."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

_MODES = {"bicubic": "bicubic", "lanczos": "bicubic", "bilinear": "bilinear"}


class Preprocess:
    """The evaluation transform of a timm model.

    timm resizes the shorter side to ``side / crop_pct`` and crops the centre; here the centre is cut out first
    (to whole pixels) and resized once. The resize is torch's on uint8, Pillow's algorithm vectorised.

    Parameters
    ----------
    config : dict
        From ``timm.data.resolve_model_data_config``.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the input.
    decode_side : int
        Shorter side an image needs at least for full quality.

    Raises
    ------
    ValueError
        If the configuration crops in a way that is not known.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        mode = config.get("crop_mode") or "center"
        if mode not in ("center", "squash"):
            raise ValueError(
                f"the weights are made for images cropped by {mode!r}, only 'center' and 'squash' are known"
            )
        self.shape: tuple[int, int] = tuple(config["input_size"][1:])
        self._squash = mode == "squash"
        self._share = float(config["crop_pct"])
        self._resize = _MODES.get(config["interpolation"], "bilinear")
        mean, std = (np.array(config[key], dtype=np.float32) for key in ("mean", "std"))
        # a row of pixels at a time: an inner loop over three channels cannot be vectorised
        self._scale = np.tile(1.0 / (255.0 * std), self.shape[1]).astype(np.float32)
        self._shift = np.tile(-mean / std, self.shape[1]).astype(np.float32)
        self.decode_side = math.ceil(max(self.shape) / self._share)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return the part of an image that the network sees: left, top, right, bottom."""
        if self._squash:
            wide, high = width * self._share, height * self._share
        else:
            rows, columns = self.shape
            factor = min(width / columns, height / rows) * self._share
            wide, high = columns * factor, rows * factor
        left, top = round((width - wide) / 2), round((height - high) / 2)
        return left, top, max(left + 1, width - left), max(top + 1, height - top)

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return the part the network sees of an RGB image, uint8 of shape (*shape, 3)."""
        left, top, right, bottom = self.box(*image.size)
        part = np.array(np.asarray(image)[top:bottom, left:right])
        if part.shape[:2] == self.shape:
            return part
        import torch

        with torch.inference_mode():
            # channels last in its strides too, or torch takes the planes apart and puts them together again
            planes = torch.from_numpy(part)[None].permute(0, 3, 1, 2)
            return self.resize(planes)[0].permute(1, 2, 0).numpy()

    def resize(self, planes: torch.Tensor) -> torch.Tensor:
        """Resize images of shape (n, 3, any, any) to the input's size."""
        from torch.nn.functional import interpolate

        return interpolate(planes, size=self.shape, mode=self._resize, antialias=True)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """From uint8 of shape (n, *shape, 3) to float32 of shape (n, 3, *shape), channels last in memory."""
        import torch

        n, height, width, _ = pixels.shape
        scale, shift = (torch.from_numpy(row).to(pixels.device) for row in (self._scale, self._shift))
        rows = pixels.reshape(n, height, width * 3).float()
        torch.addcmul(shift, rows, scale, out=rows)
        return rows.view(n, height, width, 3).permute(0, 3, 1, 2)
