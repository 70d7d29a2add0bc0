"""What a UNet's training makes small: weighted cross-entropy and Dice, by the pixels that are labelled."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ml.segmentation.unet.changes import NOT_LABELLED

_SMOOTH = 1.0  # pixels, so that a class of a few pixels does not jump


class MaskLoss(nn.Module):
    """Cross-entropy plus one minus the mean Dice of the classes a batch has.

    Dice is that of probabilities (Milletari et al., V-Net, 3DV 2016), over all pixels of the batch. Logarithms of
    probabilities are computed once for both, and the labels get no array of a plane a class: with fifty classes that
    would be what a training's memory goes to.

    Parameters
    ----------
    cross_entropy, dice : float
        Weights of the two.
    weights : ndarray of float, shape (K,), optional
        Of classes, in the cross-entropy.
    smoothing : float
        Share of a label that is given to all classes, in the cross-entropy.

    Raises
    ------
    ValueError
        If both weights are 0.
    """

    weights: torch.Tensor | None

    def __init__(
        self, cross_entropy: float, dice: float, weights: np.ndarray | None = None, smoothing: float = 0.0
    ) -> None:
        super().__init__()
        if not cross_entropy and not dice:
            raise ValueError("cross-entropy and Dice both weigh nothing")
        self.cross_entropy, self.dice, self.smoothing = cross_entropy, dice, smoothing
        self.register_buffer(
            "weights", None if weights is None else torch.tensor(weights, dtype=torch.float32)
        )

    def forward(self, logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch; 0 where nothing is labelled.

        Parameters
        ----------
        logits : Tensor, shape (n, K, h, w)
        classes : Tensor of int, shape (n, h, w)
            `NOT_LABELLED` pixels count for nothing.
        """
        known = classes != NOT_LABELLED
        targets = torch.where(known, classes, 0).long()
        logs = logits.float().log_softmax(dim=1)
        parts = []
        if self.cross_entropy:
            parts.append(self.cross_entropy * self._cross_entropy(logs, targets, known))
        if self.dice:
            parts.append(self.dice * _dice_loss(logs, targets, known))
        return torch.stack(parts).sum()

    def _cross_entropy(self, logs: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        weight = known.float() if self.weights is None else self.weights[targets] * known
        of_target = logs.gather(1, targets[:, None])[:, 0]
        lost = -(weight * of_target).sum()
        if self.smoothing:
            # as torch has it: what is given to all classes is weighed by each one's own weight
            spread = -(logs if self.weights is None else logs * self.weights[:, None, None]).sum(dim=1)
            lost = (1 - self.smoothing) * lost + self.smoothing / logs.shape[1] * (spread * known).sum()
        return lost / weight.sum().clamp_min(1e-6)


def _dice_loss(logs: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    n_classes = logs.shape[1]
    probabilities = logs.exp()
    flat, counted = targets.flatten(), known.flatten().float()
    right = probabilities.gather(1, targets[:, None]).flatten() * counted
    zeros = torch.zeros(n_classes, device=logs.device)
    both = zeros.index_add(0, flat, right)
    given = zeros.index_add(0, flat, counted)
    # image by image: all at once would take a copy of all
    each = zip(probabilities, counted.view(len(logs), -1), strict=True)
    found = torch.stack([one.flatten(1) @ labelled for one, labelled in each]).sum(dim=0)
    there = given > 0
    dice = (2 * both + _SMOOTH) / (given + found + _SMOOTH)
    return ((1 - dice) * there).sum() / there.sum().clamp_min(1)


def class_weights(counts: np.ndarray, power: float) -> np.ndarray | None:
    """Return weights of classes by a power of the inverse of their shares, 1 on average over pixels.

    Parameters
    ----------
    counts : ndarray of int, shape (K,)
        Pixels of each class in the training set; one without any weighs nothing.
    power : float
        0: None; 1: all classes weigh the same together; 0.5 is between.
    """
    if not power:
        return None
    there = counts > 0
    weights = np.where(there, (counts.sum() / np.maximum(counts, 1)) ** power, 0.0)
    return weights * counts.sum() / max(float((weights * counts).sum()), 1e-12)
