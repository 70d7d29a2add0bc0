"""A head that begins where frozen vectors lead: the logistic regression on them, written into the network.

A new head's first gradients are those of chance, and on a few hundred images they spoil a backbone before the head has
learned anything (Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022: linear probing, then
fine-tuning).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ml.heads.logistic import fit_logistic
from ml.training.split import fold_rows

MOST = 10_000  # images it learns from
_FOLDS = 5


def choose_rows(rows: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows to learn from, drawn where there are more than `MOST`, none where they tell nothing apart.

    Parameters
    ----------
    rows : ndarray of int
    targets : ndarray of int, same length
    seed : int
    """
    counts = np.bincount(targets)
    if (counts > 0).sum() < 2 or counts.max() < 2:
        return rows[:0]
    if len(rows) <= MOST:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))


def start_head(linear: nn.Linear, vectors: np.ndarray, targets: np.ndarray, *, seed: int) -> None:
    """Give a linear layer the weights of a logistic regression, penalty and temperature chosen out of sample.

    Parameters
    ----------
    linear : torch.nn.Linear
        From d inputs to K classes.
    vectors : ndarray of float32, shape (n, d)
    targets : ndarray of int, shape (n,)
    seed : int
        Of the folds.
    """
    folds = fold_rows(targets.tolist(), _FOLDS, seed=seed)
    head = fit_logistic(vectors, targets, linear.out_features, folds).head
    weight = (head.W / head.scale[:, None]).T
    bias = head.b - (head.mean / head.scale) @ head.W
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight, dtype=np.float32)))
        linear.bias.copy_(torch.from_numpy(bias.astype(np.float32)))
