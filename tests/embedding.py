"""Vectors of images at hand, for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ml.embedders import Embedder


def embed(embedder: Embedder, images: Sequence[Image.Image]) -> np.ndarray:
    """Return the vectors of RGB images, float32 of shape (n, dim), in batches of the embedder's size."""
    rows = [embedder.prepare(image) for image in images]
    size = embedder.batch_size
    return np.concatenate(
        [embedder.forward(np.stack(rows[start : start + size])) for start in range(0, len(rows), size)]
    )
