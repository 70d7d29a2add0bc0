"""What a training makes small."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ml.training.config import TrainingBlock


def make_loss(config: TrainingBlock, targets: np.ndarray, classes: int) -> nn.CrossEntropyLoss:
    """Return the cross-entropy, smoothed and weighted as configured.

    Parameters
    ----------
    config : TrainingBlock
    targets : ndarray of int, shape (n,)
        Of the training set, for the weights: inverse to the sizes of classes, 1 on average over images.
    classes : int
    """
    weight = None
    if config.class_weights:
        counts = np.maximum(np.bincount(targets, minlength=classes), 1)
        weight = torch.tensor(
            len(targets) / (np.count_nonzero(np.bincount(targets)) * counts), dtype=torch.float32
        )
    return nn.CrossEntropyLoss(weight=weight, label_smoothing=config.label_smoothing)
