"""Fold batch normalisations into the convolutions before them: fewer passes over memory, the same vectors."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_TOLERANCE = 1e-3  # of the largest output, for rounding; a wrong fold is off by far more


def fold_batchnorm(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return the network with every normalisation that follows a convolution folded into it.

    In evaluation a batch normalisation is a scale and a shift per channel, so ``bn(conv(x))`` is one
    convolution with scaled weights (Jacob et al., 2018, section 3.2). Pairs are found by running ``example``
    through the network; the result is compared with the original's and dropped if it differs.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; left as it is.
    example : torch.Tensor
        An input.

    Returns
    -------
    torch.nn.Module
        A folded copy, or the network itself where nothing can be folded.
    """
    import torch

    with torch.inference_mode():
        expected = network.forward_features(example)
    folded = copy.deepcopy(network)
    pairs = _pairs(folded, example)
    if not pairs or not isinstance(expected, torch.Tensor):
        return network
    with torch.no_grad():
        for name, conv in pairs.items():
            _fold(folded, name, conv)
    with torch.inference_mode():
        off = (folded.forward_features(example) - expected).abs().max()
    return folded if off <= _TOLERANCE * expected.abs().max() else network


def _pairs(network: nn.Module, example: torch.Tensor) -> dict[str, nn.Conv2d]:
    """Return by name the normalisations whose input is the output of a convolution, with that convolution."""
    import torch
    from timm.layers import BatchNormAct2d
    from torch import nn

    maker: dict[int, nn.Conv2d] = {}
    alive: list[torch.Tensor] = []  # an output that is freed would give its identity to another
    calls: dict[nn.Module, int] = {}
    pairs: dict[str, nn.Conv2d] = {}
    hooks = []

    def produced(conv: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls[conv] = calls.get(conv, 0) + 1
        maker[id(output)] = conv
        alive.append(output)

    for name, module in network.named_modules():
        if type(module) is nn.Conv2d:
            hooks.append(module.register_forward_hook(produced))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d) and module.running_var is not None:

            def consumed(bn: nn.Module, inputs: tuple[torch.Tensor, ...], name: str = name) -> None:
                calls[bn] = calls.get(bn, 0) + 1
                if (conv := maker.pop(id(inputs[0]), None)) is not None:
                    pairs[name] = conv

            hooks.append(module.register_forward_pre_hook(consumed))
    with torch.inference_mode():
        network.forward_features(example)
    for hook in hooks:
        hook.remove()
    return {
        name: conv
        for name, conv in pairs.items()
        if calls[conv] == 1 and calls[network.get_submodule(name)] == 1
    }


def _fold(network: nn.Module, name: str, conv: nn.Conv2d) -> None:
    import torch
    from torch import nn

    bn = network.get_submodule(name)
    scale = torch.rsqrt(bn.running_var + bn.eps)
    if bn.weight is not None:
        scale = scale * bn.weight
    shift = -bn.running_mean * scale
    if bn.bias is not None:
        shift = shift + bn.bias
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    conv.weight = nn.Parameter(conv.weight * scale[:, None, None, None], requires_grad=False)
    conv.bias = nn.Parameter(shift, requires_grad=False)
    rest = nn.Sequential(bn.drop, bn.act) if hasattr(bn, "act") else nn.Identity()
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, rest)
