"""What an embedder is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image


class WeightsUnavailable(RuntimeError):
    """A backbone's weights cannot be had; the message says which, why, and what to do."""


class WeightsNotAllowed(ValueError):
    """A backbone's weights may not be used commercially; the message says which setting allows them."""


class Embedder(Protocol):
    """Turns images into vectors.

    `ml.embedders.stream.embed_stream` takes files through it. `prepare` and `forward` are the two halves it
    overlaps, both safe to call from several threads.

    Attributes
    ----------
    name : str
        As given to `make_embedder`, with ``auto`` and aliases resolved.
    fingerprint : str
        Short and safe as a file name; changes with everything that changes vectors: weights, preprocessing,
        input size, precision.
    dim : int
        Length of a vector.
    image_size : int
        Side in pixels that images are resized to; decoding much larger ones in full is a waste.
    batch_size : int
        Images a call of `forward` does best with.
    workers : int
        Threads that prepare images, and on a CPU run `forward` too.
    device : str
        ``cpu`` or ``cuda``.
    weights : dict of str to str
        Where the weights come from: ``name``, ``source``, ``licence`` and ``digest``.
    note : str or None
        Why this embedder stands in for the one asked for; None where it is the one.
    """

    name: str
    fingerprint: str
    dim: int
    image_size: int
    batch_size: int
    workers: int
    device: str
    weights: dict[str, str]
    note: str | None

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Return what `forward` takes of one RGB image, uint8 of a fixed shape."""
        ...

    def forward(self, prepared: np.ndarray) -> np.ndarray:
        """Return the vectors of prepared images stacked along the first axis, float32 of shape (n, dim)."""
        ...
