"""Judge a network on masks it was not trained on: figures by class and image, the best and the worst to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml.datasets import DatasetError, Problem
from ml.images import ImageError
from ml.mask_sets import MaskReadOptions, MaskSet, Scene, refuse
from ml.mask_sets.folders import CLASSES
from ml.mask_sets.overlay import overlay
from ml.mask_sets.writing import Progress
from ml.masks import MaskError
from ml.segmentation.metrics import (
    confusion,
    dice_per_class,
    iou_per_class,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)
from ml.segmentation.unet.cache import open_image
from ml.segmentation.unet.model import UNetModel

CELL = 256


@dataclass
class Judged:
    """What a network is worth on masks.

    Attributes
    ----------
    names : tuple of str
        The classes, K.
    scenes : list of Scene
        Those that could be used, n.
    dice, iou : ndarray of float64, shape (n, K)
        Of each image at its full size; NaN for a class that neither label nor prediction has.
    mean_dice, mean_iou, pixel_accuracy : ndarray of float64, shape (n,)
        NaN for an image of which no pixel is labelled.
    counts : ndarray of int64, shape (K, K)
        Pixels of all images; rows: label, columns: prediction.
    problems : list of Problem
        Those that could not.
    """

    names: tuple[str, ...]
    scenes: list[Scene]
    dice: np.ndarray
    iou: np.ndarray
    mean_dice: np.ndarray
    mean_iou: np.ndarray
    pixel_accuracy: np.ndarray
    counts: np.ndarray
    problems: list[Problem] = field(default_factory=list)

    def order(self) -> np.ndarray:
        """Return the images from the worst to the best by mean Dice; those without a figure are left out."""
        rows = np.flatnonzero(~np.isnan(self.mean_dice))
        return rows[np.argsort(self.mean_dice[rows], kind="stable")]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures of the set, as JSON has them."""
        by_class = {
            name: {"dice": _plain(dice), "iou": _plain(iou), "pixels": int(pixels)}
            for name, dice, iou, pixels in zip(
                self.names, dice_per_class(self.counts), iou_per_class(self.counts), self.counts.sum(axis=1),
                strict=True,
            )
        }  # fmt: skip
        each = self.mean_dice[~np.isnan(self.mean_dice)]
        return {
            "images": len(self.scenes),
            "mean_dice": _plain(mean_dice(self.counts)),
            "mean_iou": _plain(mean_iou(self.counts)),
            "pixel_accuracy": _plain(pixel_accuracy(self.counts)),
            "image_dice": float(each.mean()) if len(each) else None,
            "classes": by_class,
        }


def judge_unet(
    model: UNetModel,
    found: MaskSet,
    scenes: Sequence[Scene],
    *,
    skip_problems: bool = False,
    progress: Progress = lambda done, total: None,
) -> Judged:
    """Predict images at their full size and compare with their masks; one image is in memory at a time.

    Parameters
    ----------
    model : UNetModel
    found : MaskSet
        With the network's classes in the same order.
    scenes : sequence of Scene
        Of it.
    skip_problems : bool
        Leave out what cannot be used instead of refusing it all.
    progress : callable
        Called with the number of images done, and of all.

    Raises
    ------
    DatasetError
        If the classes differ, there is nothing to judge, or something cannot be used and is not skipped.
    """
    require_same_classes(model, found)
    count = len(found.classes.names)
    kept: list[Scene] = []
    rows: list[tuple[np.ndarray, np.ndarray, float, float, float]] = []
    total, problems = np.zeros((count, count), dtype=np.int64), []
    for number, scene in enumerate(scenes, 1):
        try:
            label = found.mask(scene)
            predicted = model.mask(*open_image(scene, model.side))
        except (MaskError, ImageError, OSError) as error:
            problems.append(Problem(scene.where or scene.image, str(error)))
        else:
            pairs = confusion(label, predicted, count, found.classes.ignore)
            total += pairs
            kept.append(scene)
            rows.append(
                (dice_per_class(pairs), iou_per_class(pairs), float(mean_dice(pairs)), float(mean_iou(pairs)),
                 float(pixel_accuracy(pairs)))
            )  # fmt: skip
        progress(number, len(scenes))
    if problems and (not skip_problems or not kept):
        refuse(found, problems, len(scenes))
    dice, iou, mean, mean_of_iou, right = (np.array(column) for column in zip(*rows, strict=True))
    return Judged(found.classes.names, kept, dice, iou, mean, mean_of_iou, right, total, problems)


def read_like(
    model: UNetModel, source: Path, options: MaskReadOptions, read: Callable[[MaskReadOptions], MaskSet]
) -> MaskSet:
    """Read a set of masks whose numbers are to mean what the network's do; raises as ``read``.

    Classes that are told, or listed in a folder, stay as they are: `judge_unet` refuses others than the network's. What
    has names without numbers, such as COCO, or numbers without names takes the network's list.
    """
    if options.classes or (source / CLASSES).is_file():
        return read(options)
    return read(replace(options, classes=model.classes.names))


def require_same_classes(model: UNetModel, found: MaskSet) -> None:
    """See that a set has a network's classes.

    Raises
    ------
    DatasetError
        If it does not.
    """
    own, theirs = model.classes.names, found.classes.names
    if own != theirs:
        raise DatasetError(
            f"{found.source} has the classes {', '.join(theirs)}, the network {', '.join(own)}: they must be the same "
            "ones in the same order; --classes says what the set's numbers mean"
        )


def draw_compared(model: UNetModel, found: MaskSet, scene: Scene, side: int = 2 * CELL) -> list[Image.Image]:
    """Return pictures of an image, label and prediction, of at most ``side`` pixels; raises as `MaskSet.mask`."""
    label = found.mask(scene)
    image, size = open_image(scene, max(model.side, side))
    predicted = model.mask(image, size)
    small = image.copy()
    small.thumbnail((side, side))
    return [small, *(overlay(small, mask, found.classes) for mask in (label, predicted))]


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
