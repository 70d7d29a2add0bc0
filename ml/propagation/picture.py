"""A picture of a pool: what is labelled, what got a label, and what goes to people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml.audit.plane import place_on_plane
from ml.propagation.propagate import Propagated

_POINTS = 3000
_AXES = 50
_LEGEND = 20  # classes whose names still fit


def draw_pool(
    path: Path,
    labelled: np.ndarray,
    y: np.ndarray,
    pool: np.ndarray,
    found: Propagated,
    classes: list[str],
    *,
    seed: int,
) -> None:
    """Draw vectors on a plane by t-SNE as a PNG: classes by colour, labelled images as stars, questions as crosses.

    Of more than 3,000 images a sample is drawn.

    Parameters
    ----------
    labelled : ndarray of float32, shape (m, d)
    y : ndarray of int, shape (m,)
    pool : ndarray of float32, shape (n, d)
    found : Propagated
    classes : list of str
    seed : int
        Of the sample and of t-SNE.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    rows = np.arange(len(labelled) + len(pool))
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:_POINTS])
    every = np.concatenate([labelled, pool])[rows]
    axes = min(_AXES, *every.shape)
    plane = place_on_plane(
        PCA(axes, svd_solver="randomized", random_state=seed).fit_transform(every), "tsne", seed=seed
    )
    label = np.concatenate([y, found.labels])[rows]
    begun = rows < len(labelled)
    kept, ask, left = (
        np.concatenate([np.zeros(len(labelled), dtype=bool), part])[rows]
        for part in (found.propagated, found.ask, found.left)
    )
    colours = colormaps["tab10" if len(classes) <= 10 else "turbo"]
    of_class = colours(np.arange(len(classes)) if len(classes) <= 10 else np.linspace(0, 1, len(classes)))
    figure = Figure(figsize=(9, 7), layout="constrained")
    axis = figure.subplots()
    for name, count, shown, marker, size in (
        ("propagated", found.propagated.sum(), kept, "o", 8),
        ("left until people answer", found.left.sum(), left, "+", 14),
        ("for people", found.ask.sum(), ask, "x", 14),
        ("labelled", len(labelled), begun, "*", 70),
    ):
        axis.scatter(plane[shown, 0], plane[shown, 1], c=of_class[label[shown]], marker=marker, s=size)
        axis.scatter([], [], c="grey", marker=marker, s=size, label=f"{name} ({count:,})")
    if len(classes) <= _LEGEND:
        for name, colour in zip(classes, of_class, strict=True):
            axis.scatter([], [], color=[colour], s=30, label=name)
    axis.set_axis_off()
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, format="png", metadata={"Software": None})
