"""Variational auto-encoder: rows that what is labelled cannot explain."""

from __future__ import annotations

import numpy as np

from ml.acquisition import typiclust
from ml.acquisition.distinct import take
from ml.acquisition.pool import Pool
from ml.acquisition.training import seeded_torch

_HIDDEN, _LATENT = 128, 16
_STEPS, _BATCH, _RATE = 200, 128, 2e-3
_BETA = 0.05  # weight of the divergence: a small one keeps the code informative with few rows
_MIN_ROWS = 2


def select(pool: Pool, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Train an auto-encoder on the labelled vectors; select the rows with the highest reconstruction error.

    Kingma and Welling, *Auto-encoding variational Bayes* (arXiv 1312.6114), as a novelty score (An and Cho,
    *Variational autoencoder based anomaly detection using reconstruction probability*, 2015). Finds modes
    that nobody has labelled yet; favours outliers, so it suits a pool where every image is worth labelling.
    Without two labelled rows, as `ml.acquisition.typiclust`. torch is imported here, on a CPU.

    Parameters
    ----------
    pool : Pool
        Vectors of the pool and of what is labelled; probabilities and classes are not used.
    k : int
    rng : numpy.random.Generator
        Seeds the training.

    Returns
    -------
    indices : ndarray of int, shape (min(k, n),)
        Best first.
    utilities : ndarray of float, shape (n,)
        Reconstruction error over the highest, in [0, 1].
    """
    if len(pool.labelled_X) < _MIN_ROWS:
        return typiclust.select(pool, k, rng)
    n = len(pool)
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    mean = pool.labelled_X.mean(axis=0)
    scale = max(float(np.sqrt(((pool.labelled_X - mean) ** 2).mean())), 1e-6)
    errors = _reconstruction_errors((pool.labelled_X - mean) / scale, (pool.X - mean) / scale, rng)
    utilities = errors / max(float(errors.max()), 1e-12)
    return take(pool, np.lexsort((rng.random(n), -utilities)), k), utilities


def _reconstruction_errors(labelled: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Train on rows of shape (m, d); return the mean squared error of each of shape (n, d)."""
    import torch
    from torch import nn

    d = labelled.shape[1]
    with seeded_torch(rng):
        encoder = nn.Sequential(nn.Linear(d, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2 * _LATENT))
        decoder = nn.Sequential(nn.Linear(_LATENT, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, d))
        optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=_RATE)
        data = torch.from_numpy(np.ascontiguousarray(labelled))
        for _ in range(_STEPS):
            batch = data[torch.randint(len(data), (min(_BATCH, 2 * len(data)),))]
            mu, log_variance = encoder(batch).chunk(2, dim=1)
            code = mu + torch.randn_like(mu) * (0.5 * log_variance).exp()
            error = ((decoder(code) - batch) ** 2).sum(dim=1)
            divergence = 0.5 * (mu**2 + log_variance.exp() - 1.0 - log_variance).sum(dim=1)
            loss = (error + _BETA * d * divergence / _LATENT).mean() / d
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            parts = [
                ((decoder(encoder(part).chunk(2, dim=1)[0]) - part) ** 2).mean(dim=1)
                for part in torch.from_numpy(np.ascontiguousarray(rows)).split(8192)
            ]
        errors: np.ndarray = torch.cat(parts).numpy().astype(np.float64)
    return errors
