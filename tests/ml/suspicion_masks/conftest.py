"""A set of masks with what is predicted of each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ml.suspicion_masks.scenes import CLASSES, Scenes, draw, predict


@pytest.fixture(scope="package")
def scenes() -> Scenes:
    """In half of the pictures people draw a fine root that is never predicted, as poles in street scenes are."""
    rng = np.random.default_rng(0)
    masks = [draw(rng) for _ in range(60)]
    probs = [predict(mask, CLASSES, rng) for mask in masks]
    for mask in masks[::2]:
        start = rng.integers(5, 45)
        mask[start : start + 45, 46:48] = 3
    return Scenes(masks, probs)
