"""The loss by hand and against torch; pixels that nobody labelled change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from ml.segmentation.unet.changes import NOT_LABELLED
from ml.segmentation.unet.losses import MaskLoss, class_weights

WEIGHTS = np.array([0.5, 1.0, 3.0])


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 3, (2, 5, 7), generator=made, dtype=torch.int32)
    classes[:, :2] = NOT_LABELLED
    return torch.randn(2, 3, 5, 7, generator=made), classes


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs(weights: np.ndarray | None, smoothing: float) -> None:
    logits, classes = batch()
    found = MaskLoss(1.0, 0.0, weights, smoothing)(logits, classes)
    wanted = functional.cross_entropy(
        logits, classes.long(), None if weights is None else torch.tensor(weights, dtype=torch.float32),
        ignore_index=NOT_LABELLED, label_smoothing=smoothing,
    )  # fmt: skip
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_dice_is_that_of_the_probabilities_of_the_classes_there() -> None:
    logits, classes = batch()
    classes[classes == 2] = 0  # a class the batch has not
    known = classes != NOT_LABELLED
    p = logits.softmax(dim=1).movedim(1, -1)[known]
    given = functional.one_hot(classes[known].long(), 3).float()
    dice = (2 * (p * given).sum(0) + 1) / (p.sum(0) + given.sum(0) + 1)
    assert float(MaskLoss(0.0, 1.0)(logits, classes)) == pytest.approx(float((1 - dice)[:2].mean()), rel=1e-5)


@pytest.mark.parametrize("parts", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_what_is_not_labelled_changes_nothing(parts: tuple[float, float]) -> None:
    logits, classes = batch()
    other = logits.clone()
    other[:, :, :2] += 5 * torch.randn(2, 3, 2, 7)
    loss = MaskLoss(*parts, WEIGHTS, 0.1)
    assert float(loss(logits, classes)) == pytest.approx(float(loss(other, classes)))
    logits.requires_grad_()
    loss(logits, classes).backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, :2].any()
    assert logits.grad[:, :, 2:].all()


def test_where_nothing_is_labelled_there_is_nothing_to_learn() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = MaskLoss(1.0, 1.0)(logits, torch.full((1, 4, 4), NOT_LABELLED))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_perfect_prediction_costs_nothing() -> None:
    _, classes = batch()
    logits = 50 * functional.one_hot(classes.clamp(min=0).long(), 3).movedim(-1, 1).float()
    assert float(MaskLoss(1.0, 1.0)(logits, classes)) == pytest.approx(0, abs=1e-4)


def test_weights_are_a_power_of_the_inverse_share() -> None:
    counts = np.array([800, 200, 0])
    assert class_weights(counts, 0.0) is None
    whole = class_weights(counts, 1.0)
    half = class_weights(counts, 0.5)
    assert whole is not None
    assert half is not None
    assert (whole * counts)[:2] == pytest.approx([500, 500])
    assert half[1] / half[0] == pytest.approx(2)
    assert (half * counts).sum() == pytest.approx(counts.sum())
    assert whole[2] == half[2] == 0
