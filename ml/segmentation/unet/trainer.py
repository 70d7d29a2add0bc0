"""The training of one UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ml.masks.classes import MaskClasses
from ml.segmentation.metrics import (
    confusion,
    dice_per_class,
    iou_per_class,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)
from ml.segmentation.unet.cache import CachedScenes
from ml.segmentation.unet.changes import ChangedScenes, SceneChange, crop_shape
from ml.segmentation.unet.config import UNetConfig
from ml.segmentation.unet.losses import MaskLoss, class_weights
from ml.segmentation.unet.network import BuiltUNet, logits_of
from ml.training.augment import image_seed
from ml.training.batches import EpochBatches
from ml.training.loop import Keeper, Report, TrainingLoop
from ml.training.processes import Processes


@dataclass(frozen=True)
class MaskMaterial:
    """Decoded images with masks.

    Attributes
    ----------
    scenes : CachedScenes
    classes : MaskClasses
    train, valid : ndarray of int
        Rows to learn from, and rows held out.
    """

    scenes: CachedScenes
    classes: MaskClasses
    train: np.ndarray
    valid: np.ndarray

    def class_counts(self) -> np.ndarray:
        """Return the pixels of each class in the training set, int64 of shape (K,)."""
        count = len(self.classes.names)
        total = np.zeros(count, dtype=np.int64)
        for row in self.train.tolist():
            total += np.bincount(self.scenes.mask(row).ravel(), minlength=count)[:count]
        return total


class UNetTrainer(TrainingLoop):
    """Trains one UNet.

    Parameters
    ----------
    config : UNetConfig
    built : BuiltUNet
        The network, that is changed.
    material : MaskMaterial
    processes : Processes
    keeper : Keeper, optional
        Where checkpoints go; without one nothing is kept.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        config: UNetConfig,
        built: BuiltUNet,
        material: MaskMaterial,
        processes: Processes,
        *,
        keeper: Keeper[UNetTrainer] | None = None,
        report: Report | None = None,
    ) -> None:
        self.config, self.built, self.material = config, built, material
        training = config.training
        scenes, transform = material.scenes, config.dataset.transform
        crop = crop_shape(transform, scenes.sizes[material.train])
        size = max(1, min(training.batch_size, training.step_pixels // (crop[0] * crop[1])))
        batches = EpochBatches(
            material.train, np.zeros(len(material.train), dtype=np.int64), size, seed=training.seed,
            rank=processes.rank, world=processes.world,
        )  # fmt: skip
        super().__init__(
            training, built.network, built.head, fresh=built.fresh,
            batches=batches, processes=processes, keeper=keeper, report=report,
        )  # fmt: skip
        self._changed = ChangedScenes(scenes, SceneChange(transform, crop, material.classes.ignore))
        self.class_counts = material.class_counts()
        weights = class_weights(self.class_counts, training.class_weights)
        self._loss = MaskLoss(training.cross_entropy, training.dice, weights, training.label_smoothing)
        self._loss.to(self.device)

    @property
    def _images(self) -> ChangedScenes:
        return self._changed

    @property
    def _changes_cheaply(self) -> bool:
        transform = self.config.dataset.transform
        return transform.scale is None and transform.color_jitter is None

    def changed_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return training crops as the network sees them, uint8 (n, h, w, 3), and their classes, int (n, h, w)."""
        seed = self.training.seed
        wanted = [(int(row), image_seed(seed, int(row))) for row in self.material.train[:count]]
        images, classes = self._changed.__getitems__(wanted)
        return images.permute(0, 2, 3, 1).numpy(), classes.numpy()

    def agreement(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how labels and predictions of cached images agree, at work size.

        Returns
        -------
        ndarray of int64, shape (K, K)
            Pixels of all images; rows: label, columns: predicted.
        ndarray of float32, shape (len(rows),)
            Mean Dice of each image; NaN where nothing is labelled.
        """
        network, scenes, classes = self.judge, self.material.scenes, self.material.classes
        self.processes.share_buffers(network)
        network.eval()
        number = len(classes.names)
        whole = np.zeros((number, number), dtype=np.int64)

        def work(some: np.ndarray) -> torch.Tensor:
            each = []
            for row in some.tolist():
                counts = confusion(scenes.mask(row), self._predicted(network, row), number, classes.ignore)
                np.add(whole, counts, out=whole)
                each.append([float(mean_dice(counts))])
            return torch.tensor(each, dtype=torch.float32)

        each = self.over(rows, work, 1)[:, 0]
        return self.processes.add_up(whole), each

    @torch.no_grad()
    def _predicted(self, network: nn.Module, row: int) -> np.ndarray:
        image = torch.from_numpy(np.array(self.material.scenes.image(row))).permute(2, 0, 1)[None]
        with self.precision():
            logits = logits_of(network, self._input(image))
        mask: np.ndarray = logits[0].argmax(dim=0).to(torch.int32).cpu().numpy()
        return mask

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.to(self.device, non_blocking=True)
        return self.built.normalise(pixels).contiguous(memory_format=self.layout)

    def _loss_of(self, network: nn.Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        images, classes = batch
        with self.precision():
            logits = network(self._input(images))
        loss: torch.Tensor = self._loss(logits, classes.to(self.device, non_blocking=True))
        return loss

    def _judge(self) -> tuple[dict[str, Any], list[float]] | None:
        valid = self.material.valid
        if not len(valid):
            return None
        found = figures(*self.agreement(valid))
        return found, [found["mean_dice"], found["pixel_accuracy"]]


def figures(whole: np.ndarray, each: np.ndarray) -> dict[str, Any]:
    """Return what predictions are worth, as JSON has it.

    Parameters
    ----------
    whole : ndarray of int, shape (K, K)
        How labels and predictions of all images agree.
    each : ndarray of float, shape (n,)
        Mean Dice of each image, or NaN.

    Returns
    -------
    dict
        ``mean_dice``, ``mean_iou`` and ``pixel_accuracy`` of all pixels, ``image_dice``, the mean of the images' own
        mean Dice, and by class ``dice`` and ``iou``, None for one that neither label nor prediction has.
    """
    each = each[~np.isnan(each)]
    return {
        "mean_dice": _number(mean_dice(whole)),
        "mean_iou": _number(mean_iou(whole)),
        "pixel_accuracy": _number(pixel_accuracy(whole)),
        "image_dice": float(each.mean()) if len(each) else 0.0,
        "dice": _numbers(dice_per_class(whole)),
        "iou": _numbers(iou_per_class(whole)),
    }


def _number(value: np.ndarray) -> float:
    """Return 0 where nothing is labelled: an epoch that cannot be judged is no better than another."""
    return float(np.nan_to_num(value))


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
