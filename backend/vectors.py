"""Where the vectors of an embedder are kept: one store for all projects."""

from __future__ import annotations

from backend.settings import Settings
from ml.vectors import VectorStore


def open_vectors(settings: Settings, fingerprint: str, dim: int) -> VectorStore:
    """Return the store of the vectors of an embedder.

    Parameters
    ----------
    settings : Settings
    fingerprint : str
        The embedder's.
    dim : int
        Length of a vector.
    """
    return VectorStore(settings.model_dir / "vectors", fingerprint, dim)
