"""Pictures of objects on background, masks of them, and a prediction that errs a little everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ml.masks.classes import MaskClasses

SIZE = 96
CLASSES = MaskClasses(("background", "leaf", "stem", "root"))


def ellipse(centre: tuple[float, float], radii: tuple[float, float], size: int = SIZE) -> np.ndarray:
    rows, columns = np.indices((size, size))
    inside: np.ndarray = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1
    return inside


def predict(
    mask: np.ndarray, classes: MaskClasses, rng: np.random.Generator, noise: float = 1.2
) -> np.ndarray:
    """Probabilities (K, h, w) as of a network that saw the true mask: soft boundaries, smooth errors."""
    names = len(classes.names)
    truth = np.stack(
        [ndimage.gaussian_filter((mask == number).astype(float), 1.5) for number in range(names)]
    )
    errors = ndimage.gaussian_filter(rng.normal(size=(names, *mask.shape)), (0, 4, 4))
    logits = 5.0 * truth + noise * errors / errors.std()
    probs = np.exp(logits - logits.max(axis=0))
    return (probs / probs.sum(axis=0)).astype(np.float32)


@dataclass
class Scenes:
    """True masks, and what is predicted of them."""

    masks: list[np.ndarray]
    probs: list[np.ndarray]
    classes: MaskClasses = CLASSES


def draw(rng: np.random.Generator) -> np.ndarray:
    """Two to four objects, each in its quarter."""
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    quarters = rng.permutation([(24, 24), (24, 72), (72, 24), (72, 72)])[: rng.integers(2, 5)]
    for quarter in quarters:
        mask[ellipse(tuple(quarter + rng.integers(-3, 4, 2)), tuple(rng.uniform(9, 17, 2)))] = rng.integers(
            1, 4
        )
    return mask
