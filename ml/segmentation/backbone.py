"""Features of pixels from the stages of a timm backbone, with the image's colours beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ml.embedders.folding import fold_batchnorm
from ml.embedders.precision import Forward, asked_half
from ml.embedders.timm_backbone import open_network, weights_digest
from ml.segmentation.hand_made import shrunk
from ml.segmentation.pyramid import Level, Pyramid, even_place

if TYPE_CHECKING:
    import torch

_FINEST = 4  # stage 2 is 300 KB an image of 320 x 240 and adds .003 of Dice (docs/segmentation.md)
_COLOURS = 2
# a level as wide as this is projected: no backbone's features of an image take more than about half a megabyte
_CHANNELS_A_PIXEL, _MOST_CHANNELS = 16, 384
_PROBE = 192


class BackboneFeatures:
    """The last stage of each stride from 4 on; of a transformer, which has one stride, the middle and the last block.

    Parameters
    ----------
    model : str
        Name of a timm model.
    checkpoint : str, optional
        File with its weights; default: those timm names.
    side : int
        Pixels that the longer side of every image is brought to; the shorter follows and is padded.
    allow_noncommercial : bool
    precision : str
        ``auto`` or ``fp32``.

    Raises
    ------
    ValueError
        If timm knows no such model, its stages cannot be had, or the precision is unknown.
    WeightsUnavailable, WeightsNotAllowed
        See `ml.embedders.timm_backbone.TimmEmbedder`.
    """

    def __init__(
        self,
        model: str,
        *,
        checkpoint: str | None = None,
        side: int,
        allow_noncommercial: bool = False,
        precision: str = "auto",
    ) -> None:
        import timm
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        half = asked_half(precision, self.device)
        network = open_network(
            model, checkpoint, {"dynamic_img_size": True}, allow_noncommercial=allow_noncommercial
        )
        if not hasattr(network, "forward_intermediates"):
            raise ValueError(f"timm gives no features of pixels of {model}: take another backbone")
        config = timm.data.resolve_model_data_config(network)
        self._mean, self._std = (
            torch.tensor(config[key], device=self.device)[:, None, None] for key in ("mean", "std")
        )
        digest = weights_digest(network, {"mean": config["mean"], "std": config["std"]})
        self._stages, self._strides = _stages(network)
        self._shift = _shift(network, self._stages, self._strides)
        example = torch.rand(1, 3, *config["input_size"][1:], generator=torch.Generator().manual_seed(0))
        network = fold_batchnorm(network, example).to(self.device, memory_format=torch.channels_last)
        self._compute = Forward(network, half)
        device = "" if self.device == "cpu" else f"{self.device}-"
        self.name = f"timm:{model}" + (f"@{checkpoint}" if checkpoint else "")
        self.fingerprint = f"pixels-timm-{model}-{side}-{device}{self._compute.precision}-{digest[:12]}"
        self.side = side
        self.note: str | None = None

    def extract(self, image: Image.Image, size: tuple[int, int] | None = None) -> Pyramid:
        """Return an image's features; see `ml.segmentation.features.PixelFeatures`."""
        import torch

        full = (image.height, image.width) if size is None else size
        scale = self.side / max(full)
        height, width = (max(1, round(length * scale)) for length in full)
        colours = shrunk(image, height, width, _COLOURS)
        levels = [Level.quantised(colours, even_place(colours.shape[:2]))]
        reduced = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        with torch.inference_mode():
            pixels = torch.from_numpy(np.array(reduced)).to(self.device).permute(2, 0, 1).float()
            batch = ((pixels / 255.0 - self._mean) / self._std)[None]
            widest = max(self._strides)
            below, right = -height % widest, -width % widest
            batch = torch.nn.functional.pad(batch, (0, right, 0, below), mode="replicate")
            stages = self._compute.stages(
                batch.contiguous(memory_format=torch.channels_last), list(self._stages)
            )
            found = [stage[0].permute(1, 2, 0).cpu().numpy() for stage in stages]
        for features, stride in zip(found, self._strides, strict=True):
            rows, columns = -(-height // stride), -(-width // stride)
            centre = 0.5 + self._shift * (stride - 1)
            place = np.array([[centre / length, stride / length] for length in (height, width)])
            levels.append(Level.quantised(_narrowed(features[:rows, :columns], stride), place))
        return Pyramid(full, tuple(levels))


def _stages(network: torch.nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of the stages to take, and their strides in pixels."""
    size = network.pretrained_cfg["input_size"][1:]
    import torch

    found = Forward(network, None).stages(torch.zeros(1, 3, *size))
    strides = [round(size[0] / stage.shape[2]) for stage in found]
    last = {stride: number for number, stride in enumerate(strides) if stride >= _FINEST}
    if len(last) == 1:
        stride = next(iter(last))
        return ((len(found) - 1) // 2, len(found) - 1), (stride, stride)
    return tuple(last.values()), tuple(last)


def _shift(network: torch.nn.Module, stages: tuple[int, ...], strides: tuple[int, ...]) -> float:
    """Return where in its stride the pixel is that a cell stands for: 0 the first, 1 the last.

    Convolutions padded on both sides have cells that stand for their first pixel, patches for the middle, and
    TensorFlow's padding for the last. It is measured: from where a cell's energy draws its gradient.
    """
    import torch

    widest = max(strides)
    side = -(-_PROBE // (2 * widest)) * 2 * widest
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = network.forward_intermediates(
        images, list(stages), norm=True, output_fmt="NCHW", intermediates_only=True
    )
    shifts = []
    for features, stride in zip(found, strides, strict=True):
        cell = features.shape[2] // 2
        energy = features[:, :, cell, cell].square().sum()
        (gradient,) = torch.autograd.grad(energy, images, retain_graph=True)
        strength = gradient.square().sum(dim=(0, 1))
        pixels = torch.arange(side, dtype=torch.float32)
        for sums in (strength.sum(dim=0), strength.sum(dim=1)):
            centre = float((sums * pixels).sum() / sums.sum())
            shifts.append((centre - stride * cell) / (stride - 1))
    return float(np.clip(round(2 * float(np.mean(shifts))) / 2, 0.0, 1.0))


def _narrowed(features: np.ndarray, stride: int) -> np.ndarray:
    """Project features that are too wide onto axes drawn by lot, which keeps distances (Johnson-Lindenstrauss)."""
    channels = features.shape[2]
    most = min(_CHANNELS_A_PIXEL * stride, _MOST_CHANNELS)
    if channels <= most:
        return features
    axes = np.random.default_rng(channels).normal(size=(channels, most)).astype(np.float32)
    return features @ (axes / np.sqrt(np.float32(most)))
