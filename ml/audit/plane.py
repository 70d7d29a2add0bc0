"""Vectors on a plane, to look at."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from ml.datasets.example import DatasetError

METHODS = ("pca", "tsne", "umap")
_AXES = 50
_PERPLEXITY = 30.0
_FEWEST = 10  # below, t-SNE and UMAP have no neighbourhoods to keep


def require_plane(method: str) -> None:
    """See that a method can be used.

    Raises
    ------
    DatasetError
        If there is no such method, or its package is not installed; with the command that installs it.
    """
    if method not in METHODS:
        raise DatasetError(f"no map {method!r}: there are {', '.join(METHODS)}")
    if method == "umap" and find_spec("umap") is None:
        raise DatasetError("a UMAP needs umap-learn, which is not installed: pip install umap-learn")


def place_on_plane(Z: np.ndarray, method: str, *, seed: int) -> np.ndarray:
    """Return two coordinates a row, float64 of shape (n, 2), in [0, 1].

    Rows are brought to norm 1 first, as neighbours are found. ``pca``: the two leading axes; ``tsne``: van der
    Maaten and Hinton (JMLR 9, 2008), started at those; ``umap``: McInnes et al. (arXiv 1802.03426). Fewer than ten
    rows are placed by ``pca``.

    Parameters
    ----------
    Z : ndarray of float, shape (n, r)
        Coordinates by falling variance; the first 50 count.
    method : str
        One of `METHODS`.
    seed : int
    """
    points = Z[:, :_AXES] / np.maximum(np.linalg.norm(Z[:, :_AXES], axis=1, keepdims=True), 1e-12)
    points = points - points.mean(axis=0)
    if method == "pca" or len(points) < _FEWEST or points.shape[1] < 2:
        return _within(_leading(points))
    if method == "tsne":
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # sums of several threads differ from run to run
            tsne = TSNE(
                perplexity=min(_PERPLEXITY, (len(points) - 1) / 3),
                init=_leading(points) * 1e-2,
                random_state=seed,
            )
            return _within(tsne.fit_transform(points))
    from umap import UMAP

    return _within(UMAP(random_state=seed, n_jobs=1).fit_transform(points))


def _leading(points: np.ndarray) -> np.ndarray:
    if min(points.shape) < 2:
        return np.zeros((len(points), 2))
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    # a direction has no sign of its own
    signs = np.sign(axes[:2][np.arange(2), np.abs(axes[:2]).argmax(axis=1)])
    plane: np.ndarray = points @ (axes[:2] * signs[:, None]).T
    return plane / max(float(plane.std()), 1e-12)


def _within(plane: np.ndarray) -> np.ndarray:
    low, high = plane.min(axis=0), plane.max(axis=0)
    scaled: np.ndarray = (plane - low) / np.maximum(high - low, 1e-12)
    return scaled.astype(np.float64)
