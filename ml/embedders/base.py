"""What an embedder is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image


class WeightsUnavailable(RuntimeError):
    """A backbone's weights cannot be had; the message says which, why, and what to do."""


class Embedder(Protocol):
    """Turns images into vectors.

    Attributes
    ----------
    name : str
        As given to `make_embedder`, with ``auto`` resolved.
    fingerprint : str
        Short and safe as a file name; changes with everything that changes vectors: weights, preprocessing,
        input size, precision.
    dim : int
        Length of a vector.
    image_size : int
        Side in pixels that images are resized to; decoding much larger ones in full is a waste.
    weights : dict of str to str
        Where the weights come from: ``name``, ``source``, ``licence`` and ``digest``.
    note : str or None
        Why this embedder stands in for the one asked for; None where it is the one.
    """

    name: str
    fingerprint: str
    dim: int
    image_size: int
    weights: dict[str, str]
    note: str | None

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Return the vectors of RGB images, float32 of shape (n, dim), in order and finite."""
        ...
