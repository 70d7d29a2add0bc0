"""Mixture: a Gaussian mixture over siamese embeddings of what is labelled; picks from every component."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool
from ml.acquisition.training import seeded_torch

_HIDDEN = 64
_STEPS, _BATCH, _RATE = 200, 96, 3e-3
_MARGIN = 2.0


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Embed what is labelled in the plane, fit a mixture, and pick from each component in turn.

    A siamese network with a contrastive loss (Hadsell, Chopra and LeCun, *Dimensionality reduction by
    learning an invariant mapping*, CVPR 2006) brings labelled vectors of a class together in two dimensions.
    A Gaussian mixture with a component a class, started at the classes' means, is fitted to them; it predicts
    a component, and so a class, for every row of the pool. Within a component the rows that could be of
    another come first. Keeps rare classes in view; weak while a class has only a few labels. Without labelled
    rows of two classes, as `ml.acquisition.typiclust`. torch is imported here, on a CPU.

    Parameters
    ----------
    pool : Pool
        Vectors, labelled vectors and their classes; probabilities are not used.
    k : int
    rng : numpy.random.Generator
        Seeds the training.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        One component after the other, best first in each.
    utilities : ndarray of float, shape (n,)
        One minus the margin between the two most probable components, in [0, 1].
    """
    y = pool.labelled_y
    if y is None or len(np.unique(y)) < 2:
        return typiclust.select(pool, k, rng)
    n = len(pool)
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    from sklearn.mixture import GaussianMixture

    mean = pool.labelled_X.mean(axis=0)
    scale = max(float(np.sqrt(((pool.labelled_X - mean) ** 2).mean())), 1e-6)
    known, plane = _embed((pool.labelled_X - mean) / scale, y, (pool.X - mean) / scale, rng)
    classes = np.unique(y)
    means = np.stack([known[y == label].mean(axis=0) for label in classes])
    mixture = GaussianMixture(
        len(classes), means_init=means, reg_covar=1e-2, random_state=int(rng.integers(2**31))
    ).fit(known)
    shares = np.sort(mixture.predict_proba(plane), axis=1)
    utilities = np.clip(1.0 - (shares[:, -1] - shares[:, -2]), 0.0, 1.0)
    component = mixture.predict(plane)
    # each component's rows by utility; the first of every component come before the second of any
    by_component = np.lexsort((rng.random(n), -utilities, component))
    size = np.bincount(component, minlength=len(classes))
    rank = np.empty(n, dtype=np.int64)
    rank[by_component] = np.arange(n) - (np.cumsum(size) - size)[component[by_component]]
    return take(pool, np.lexsort((-utilities, rank)), k), utilities


def _embed(
    labelled: np.ndarray, y: np.ndarray, rows: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Train on labelled rows of shape (m, d); return them, (m, 2), and the pool's, (n, 2), in the plane."""
    import torch
    from torch import nn

    with seeded_torch(rng):
        tower = nn.Sequential(nn.Linear(labelled.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2))
        optimiser = torch.optim.Adam(tower.parameters(), lr=_RATE, weight_decay=1e-3)
        data, labels = torch.from_numpy(np.ascontiguousarray(labelled)), torch.from_numpy(y)
        for _ in range(_STEPS):
            batch = torch.randint(len(data), (min(_BATCH, 2 * len(data)),))
            plane = tower(data[batch])
            apart = ((plane[:, None] - plane[None]) ** 2).sum(dim=2)
            same = labels[batch][:, None] == labels[batch][None]
            push = torch.relu(_MARGIN - (apart + 1e-9).sqrt()) ** 2
            loss = apart[same].mean() + (push[~same].mean() if bool((~same).any()) else 0.0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            parts = [tower(part) for part in torch.from_numpy(np.ascontiguousarray(rows)).split(8192)]
            known: np.ndarray = tower(data).numpy().astype(np.float64)
            plane_rows: np.ndarray = torch.cat(parts).numpy().astype(np.float64)
    return known, plane_rows
