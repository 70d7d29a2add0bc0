"""AdamW (Loshchilov and Hutter, ICLR 2019) with its groups: head and backbone, with and without decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ml.training.config import LoopBlock

TUNED = 0.3  # rate of a backbone that has learned before, as a share of the head's


def make_optimizer(
    network: nn.Module, head: Sequence[str], config: LoopBlock, *, fresh: bool
) -> torch.optim.AdamW:
    """Return AdamW over all parameters; biases, norms and what timm names have no weight decay.

    Parameters
    ----------
    network : torch.nn.Module
    head : sequence of str
        Names of its head's parameters.
    config : LoopBlock
    fresh : bool
        Whether the backbone begins from scratch.
    """
    share = config.backbone_lr or (1.0 if fresh else TUNED)
    spared: set[str] = getattr(network, "no_weight_decay", set)()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = config.lr * (1.0 if name in head else share)
        decay = 0.0 if parameter.ndim <= 1 or name in spared else config.weight_decay
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": some, "lr": rate, "weight_decay": decay} for (rate, decay), some in groups.items()]
    )


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Return an optimizer's state as named tensors, and its groups as JSON has them."""
    state = optimizer.state_dict()
    tensors = {
        f"{number}.{name}": torch.as_tensor(value)
        for number, kept in state["state"].items()
        for name, value in kept.items()
    }
    groups = [
        {key: value for key, value in group.items() if isinstance(value, int | float | bool | None)}
        | {"params": group["params"]}
        for group in state["param_groups"]
    ]
    return tensors, groups


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give an optimizer the state that `pack_optimizer` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = value
    own = optimizer.state_dict()["param_groups"]
    merged = [{**before, **kept} for before, kept in zip(own, groups, strict=True)]
    optimizer.load_state_dict({"state": state, "param_groups": merged})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                if torch.is_tensor(value) and value.shape == parameter.shape:
                    # the same layout as the parameter's, which files do not keep
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)
