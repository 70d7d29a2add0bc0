"""Handwritten digits with masks of their strokes by class, some of the given ones damaged on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from demo.digits import as_image, write_images
from demo.subject import Learned, Progress, RandomOrder
from ml.masks.classes import MaskClasses
from ml.masks.damage import damage_mask
from ml.masks.regions import brush_regions, paint
from ml.segmentation.features import make_pixel_features
from ml.segmentation.metrics import confusion, dice_per_class
from ml.segmentation.probe import fit_probe
from ml.segmentation.sizes import enlarge_probs_to_mask
from ml.vectors import content_key

IMAGES = 300
LABELLED = 120
DAMAGED_SHARE = 0.1
SEED = 7
INK = 128  # of 255: from here a pixel is of the stroke

CLASSES = MaskClasses.drawn_by([str(digit) for digit in range(10)])
_COLOURS = (
    "e6194b",
    "3cb44b",
    "4363d8",
    "f58231",
    "911eb4",
    "008080",
    "9a6324",
    "808000",
    "000075",
    "f032e6",
)
LABEL_CONFIG = (
    '<View>\n  <Image name="image" value="$image" zoom="true"/>\n  <BrushLabels name="stroke" toName="image">\n'
    + "".join(f'    <Label value="{digit}" background="#{_COLOURS[digit]}"/>\n' for digit in range(10))
    + "  </BrushLabels>\n</View>"
)


@dataclass(frozen=True)
class Strokes:
    """A `demo.subject.Subject`: a label is an index mask, shape (96, 96) of uint8.

    Attributes
    ----------
    given : mapping of int to ndarray
        Masks of the images that come labelled.
    damaged : dict of int to str
        Those that are damaged, and how.
    """

    images: int = IMAGES
    labelled: int = LABELLED
    seed: int = SEED
    name: str = "strokes"
    title: str = "Strokes of digits"
    label_config: str = LABEL_CONFIG
    export_format: str = "masks"
    export_suffix: str = ""
    measure: str = "mean Dice"
    per_round: int = 20
    given: Mapping[int, np.ndarray] = field(init=False)
    damaged: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        chosen = rng.permutation(self.images)[: self.labelled].tolist()
        given = {index: self.truth(index) for index in chosen}
        kinds = {}
        for index in chosen[: round(self.labelled * DAMAGED_SHARE)]:
            planted = damage_mask(given[index], CLASSES, rng)
            given[index], kinds[index] = planted.mask, planted.kind
        object.__setattr__(self, "given", given)
        object.__setattr__(self, "damaged", kinds)

    @cached_property
    def _digits(self) -> tuple[np.ndarray, np.ndarray]:
        found = load_digits()
        return found.images[: self.images], found.target[: self.images]

    @property
    def planted(self) -> set[int]:
        """The images whose given mask is damaged."""
        return set(self.damaged)

    def render(self, folder: Path, progress: Progress = lambda done, total: None) -> list[Path]:
        """Write the images that are missing in a folder; return all, in order."""
        return write_images(folder, self._digits[0], progress)

    def truth(self, index: int) -> np.ndarray:
        """Return an image's mask: its stroke, of the digit's class."""
        images, digits = self._digits
        stroke = np.asarray(as_image(images[index])) < INK
        return np.where(stroke, np.uint8(digits[index] + 1), np.uint8(0))

    def write(self, label: np.ndarray) -> list[dict[str, Any]]:
        """Return the brush regions of a mask."""
        return brush_regions(label, CLASSES, "stroke", "image")

    def read(self, result: list[dict[str, Any]]) -> np.ndarray:
        """Return the mask that regions show."""
        return paint([region for region in result if "brushlabels" in region["value"]], CLASSES, self._shape)

    def agreement(self, label: np.ndarray, truth: np.ndarray) -> float:
        """Return the mean Dice of two masks over the digits in either; 1.0 where neither has any."""
        dice = dice_per_class(confusion(truth, label, len(CLASSES.names)))[1:]
        return 1.0 if np.isnan(dice).all() else float(np.nanmean(dice))

    @cached_property
    def _shape(self) -> tuple[int, int]:
        width, height = as_image(self._digits[0][0]).size
        return height, width

    def random_order(self, files: Path, learned: Learned) -> RandomOrder:
        """Return what a team gets that draws masks in random order, with the pixel probe that Lineup uses."""
        features = make_pixel_features(learned.version.manifest["embedder"])
        keys, pyramids = [], []
        for path in sorted(files.glob("*.png")):
            keys.append(content_key(path.read_bytes()))
            with Image.open(path) as picture:
                pyramids.append(features.extract(picture.convert("RGB"), self._shape))
        rest = [index for index in range(self.images) if index not in self.given]

        def curve(rounds: Sequence[int], seed: int, progress: Callable[[], None]) -> list[float]:
            order = np.random.default_rng(seed).permutation(rest).tolist()
            curve, fit = [], None
            for count in rounds:
                masks = {**self.given, **{index: self.truth(index) for index in order[:count]}}
                rows = sorted(masks)
                fit = fit_probe(
                    [keys[row] for row in rows],
                    lambda i, rows=rows: pyramids[rows[i]],
                    lambda i, rows=rows, masks=masks: masks[rows[i]],
                    len(CLASSES.names),
                    ignore=CLASSES.ignore,
                    warm=fit,
                )
                left = [
                    self.agreement(
                        enlarge_probs_to_mask(fit.head.probabilities(pyramids[index]), self._shape),
                        self.truth(index),
                    )
                    for index in order[count:]
                ]
                curve.append((count + sum(left)) / len(rest))
                progress()
            return curve

        return curve
