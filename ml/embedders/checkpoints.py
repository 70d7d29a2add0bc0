"""Weights of a timm model from a file: all but those of its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml.embedders.base import WeightsUnavailable

if TYPE_CHECKING:
    import torch
    from torch import nn


def load_backbone(network: nn.Module, name: str, path: Path) -> None:
    """Load the weights of a checkpoint, all but those of the classifier.

    Raises
    ------
    WeightsUnavailable
        If it is not there, cannot be read, or does not fit the model.
    """
    state = _read(path)
    heads = classifier_names(network)
    inner = {key: value for key, value in state.items() if not key.startswith(tuple(f"{h}." for h in heads))}
    own = {key for key in network.state_dict() if not key.startswith(tuple(f"{h}." for h in heads))}
    missing, unknown = sorted(own - inner.keys()), sorted(inner.keys() - own)
    if missing or unknown:
        which = f"it has no {missing[0]}" if missing else f"it has {unknown[0]} besides"
        raise WeightsUnavailable(f"checkpoint {path} is not one of timm's {name}: {which}")
    try:
        network.load_state_dict(inner, strict=False)
    except RuntimeError as error:
        raise WeightsUnavailable(f"checkpoint {path} is not one of timm's {name}: {error}") from error


def _read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint, ``.safetensors`` or a state dict of torch, loaded as weights only.

    Raises
    ------
    WeightsUnavailable
        If it is not there or cannot be read.
    """
    from timm.models import load_state_dict

    try:
        state: dict[str, torch.Tensor] = load_state_dict(str(path), weights_only=True)
    except FileNotFoundError as error:
        raise WeightsUnavailable(f"there is no checkpoint {path}") from error
    except Exception as error:  # torch and safetensors raise whatever a broken file makes them
        raise WeightsUnavailable(f"checkpoint {path} cannot be read as weights: {error}") from error
    return state


def classifier_names(network: nn.Module) -> tuple[str, ...]:
    """Return the names of a timm model's classifiers: one, or none, or several."""
    found = network.pretrained_cfg.get("classifier") or ()
    return (found,) if isinstance(found, str) else tuple(found)
