"""Where the features of pixels are kept: one store for all projects, beside the vectors, of this machine."""

from __future__ import annotations

from backend.settings import Settings
from ml.segmentation.store import PyramidStore


def open_pyramids(settings: Settings, fingerprint: str) -> PyramidStore:
    """Return the store of the features of pixels of one kind.

    They are large, and made again from the images where they are missing, so with a `MODEL_DIR` in an object store
    every machine has its own.

    Parameters
    ----------
    settings : Settings
    fingerprint : str
        Of the `ml.segmentation.features.PixelFeatures`.
    """
    return PyramidStore(settings.model_dir / "pyramids", fingerprint)
