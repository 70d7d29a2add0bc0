"""Decode, crop and resize JPEG files on a GPU, where torchvision offers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml.images import ImageLimits, plain_jpeg

if TYPE_CHECKING:
    from ml.embedders.preprocess import Preprocess


def require_gpu_jpeg(device: str) -> None:
    """Return if JPEG files can be decoded on the device.

    Raises
    ------
    ValueError
        If it is no GPU, or this torchvision has no decoder for it.
    """
    if device != "cuda":
        raise ValueError("jpeg_on_gpu needs a GPU and torch sees none: leave it off")
    try:
        from torchvision.io import decode_jpeg
    except ImportError as error:
        raise ValueError(f"jpeg_on_gpu needs torchvision's decode_jpeg: {error}; leave it off") from error
    if "device" not in decode_jpeg.__annotations__:
        raise ValueError("jpeg_on_gpu needs a torchvision whose decode_jpeg takes a device; leave it off")


def prepare_jpeg(
    data: bytes, preprocess: Preprocess, limits: ImageLimits, device: str = "cuda"
) -> np.ndarray | None:
    """Return what the network sees of a JPEG file, uint8 of shape (height, width, 3).

    None for what the GPU's decoder does not do: other formats, EXIF orientations, CMYK, and files it rejects; the
    usual path decodes those or says what is wrong with them. Safe to call from several threads.

    Raises
    ------
    ImageError
        If the file is empty, too large or has no readable header.
    """
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    size = plain_jpeg(data, limits=limits)
    if size is None:
        return None
    with torch.inference_mode():
        try:
            source = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            planes = decode_jpeg(source, mode=ImageReadMode.RGB, device=device)
        except RuntimeError:
            return None
        left, top, right, bottom = preprocess.box(*size)
        part = planes[None, :, top:bottom, left:right].float()
        tile = preprocess.resize(part)[0].round_().clamp_(0, 255).byte()
        prepared: np.ndarray = tile.permute(1, 2, 0).contiguous().cpu().numpy()
    return prepared
