"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019), as torchvision has them."""

from __future__ import annotations

from torch import nn
from torchvision.transforms import v2

from ml.training.config import TrainingBlock


def make_mixing(config: TrainingBlock, classes: int) -> nn.Module | None:
    """Return what mixes the images and targets of a batch, one way or the other by lot; None where both are off."""
    ways: list[nn.Module] = []
    if config.mixup:
        ways.append(v2.MixUp(alpha=config.mixup, num_classes=classes))
    if config.cutmix:
        ways.append(v2.CutMix(alpha=config.cutmix, num_classes=classes))
    return v2.RandomChoice(ways) if ways else None
