"""Run a backbone in half precision where the processor is made for it, and in full where vectors need it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")


def half_type(device: str) -> torch.dtype | None:
    """Return the half precision a device computes fast, or None.

    On a CPU that is bfloat16 with AVX512-BF16 or AMX instructions; elsewhere it would be emulated and slower
    than float32. On a GPU it is bfloat16 from Ampere on, float16 before.
    """
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else None


def asked_half(precision: str, device: str) -> torch.dtype | None:
    """Return the half precision to use on a device, None for full, by the setting ``auto`` or ``fp32``.

    Raises
    ------
    ValueError
        If the setting is another.
    """
    if precision not in ("auto", "fp32"):
        raise ValueError(f"the precision is 'auto' or 'fp32', got {precision!r}")
    return half_type(device) if precision == "auto" else None


class Forward:
    """The forward pass of a timm model: pooled features, with autocast after the first stage.

    The layers that see the image at half its resolution or more stay in float32, and so does the pooling.
    They are few, but the first depthwise convolution of a mobile ConvNet has weights up to a hundred times
    those of the others, and rounding them does most of the harm that bfloat16 does (docs/embedding.md).
    Models that start with patches have no such stage and are in half precision up to the pooling.

    Parameters
    ----------
    network : torch.nn.Module
        A timm model in evaluation mode, without a classifier, on its device.
    dtype : torch.dtype or None
        Half precision to use; None: float32 throughout.
    protect : bool
        Keep the first stage in float32.

    Attributes
    ----------
    precision : str
        For the fingerprint.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None, *, protect: bool = True) -> None:
        self.network = network
        self.dtype = dtype
        self.device = next(network.parameters()).device.type
        stem = _first_stage(network) if dtype is not None and protect else None
        self._late = stem is not None
        if stem is not None:
            stem.register_forward_hook(self._start)
        short = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "None": "fp32"}[str(dtype)]
        self.precision = short + ("-stem32" if self._late else "")

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return vectors, float32 of shape (n, dim), of a float32 batch of shape (n, 3, height, width)."""
        import torch

        with torch.inference_mode():
            features = self._pass(self.network.forward_features, batch)
            return self.network.forward_head(features.float()).float()

    def stages(self, batch: torch.Tensor, indices: list[int] | None = None) -> list[torch.Tensor]:
        """Return what stages of the network give, normalised as the last, float32 of shapes (n, c, h, w).

        Parameters
        ----------
        batch : torch.Tensor
        indices : list of int, optional
            Which; default: all.
        """
        import torch

        def compute(images: torch.Tensor) -> list[torch.Tensor]:
            found: list[torch.Tensor] = self.network.forward_intermediates(
                images, indices, norm=True, output_fmt="NCHW", intermediates_only=True
            )
            return found

        with torch.inference_mode():
            return [stage.float() for stage in self._pass(compute, batch)]

    def _pass(self, compute: Callable[[torch.Tensor], T], batch: torch.Tensor) -> T:
        import torch

        if self.dtype is None:
            return compute(batch)
        with torch.autocast(self.device, dtype=self.dtype, enabled=not self._late):
            return compute(batch)

    def _start(self, module: nn.Module, inputs: object, output: object) -> None:
        import torch

        # the autocast context of the call puts it back, whatever it was
        torch.set_autocast_enabled(self.device, True)


def _first_stage(network: nn.Module) -> nn.Module | None:
    """Return the module that ends the layers at half resolution, None where there are none."""
    info = getattr(network, "feature_info", None)
    stages = info if isinstance(info, list) else getattr(info, "info", None)
    if not stages or stages[0].get("reduction") != 2:
        return None
    module: nn.Module = network.get_submodule(stages[0]["module"])
    return module
