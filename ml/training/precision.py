"""Half precision in training: where it is faster, with scaled gradients where they need it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn

from ml.embedders.precision import half_type

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """How a forward pass is computed.

    Parameters
    ----------
    name : str
        ``auto``, ``fp32``, ``bf16`` or ``fp16``.
    device : torch.device
    network : torch.nn.Module
        On a processor ``auto`` takes bfloat16 for networks without grouped convolutions alone: where those are
        (MobileNet, EfficientNet, ConvNeXt), it takes longer than float32.

    Raises
    ------
    ValueError
        If the device cannot train in it.
    """

    def __init__(self, name: str, device: torch.device, network: nn.Module) -> None:
        if name == "fp16" and device.type != "cuda":
            raise ValueError("Training.precision: fp16 needs a GPU; on a processor take auto, bf16 or fp32")
        self.dtype = _fastest(device.type, network) if name == "auto" else _TYPES[name]
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)

    def __call__(self) -> AbstractContextManager[None]:
        """Return the context of a forward pass."""
        context: AbstractContextManager[None] = torch.autocast(
            self._device, dtype=self.dtype, enabled=self.dtype is not None
        )
        return context


def _fastest(device: str, network: nn.Module) -> torch.dtype | None:
    # by the network's structure, not by a clock: the same seed must give the same training
    grouped = any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in network.modules())
    return None if device == "cpu" and grouped else half_type(device)
