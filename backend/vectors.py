"""Where the vectors of an embedder are kept: one store for all projects."""

from __future__ import annotations

from backend.settings import Settings
from backend.shared.folder import share
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
    shared = share(settings)
    remote = shared.vectors(fingerprint) if shared else None
    return VectorStore(settings.model_dir / "vectors", fingerprint, dim, remote)
