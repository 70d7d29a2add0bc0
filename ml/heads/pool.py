"""Weights of a logarithmic pool, by out-of-sample log-loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_VALUES = 1 << 17  # log-probabilities looked at, a member: enough for three numbers
_PRIOR_DEVIATION = 1.0


def fit_weights(members: Mapping[str, np.ndarray], y: np.ndarray) -> dict[str, float]:
    """Return the powers, none negative, whose weighted product of probabilities predicts the labels best.

    Maximum a posteriori around equal powers that sum to 1, so that a handful of rows cannot move them far.

    Parameters
    ----------
    members : mapping of str to ndarray of float, shape (n, K)
        Log-probabilities, out-of-sample.
    y : ndarray of int, shape (n,)
        Classes.

    Returns
    -------
    dict of str to float
    """
    from scipy.optimize import minimize

    names = list(members)
    n, n_classes = members[names[0]].shape
    rows = slice(None, None, max(1, -(-n * n_classes // _VALUES)))
    labels = y[rows]
    stacked = np.stack([members[name][rows].T for name in names]).astype(np.float64)
    own = stacked[:, labels, np.arange(len(labels))].sum(axis=1)
    shape, flat = stacked.shape[1:], stacked.reshape(len(names), -1)
    equal = np.full(len(names), 1.0 / len(names))

    def objective(powers: np.ndarray) -> tuple[float, np.ndarray]:
        pooled = (powers @ flat).reshape(shape)
        top = pooled.max(axis=0)
        weighted = np.exp(pooled - top)
        total = weighted.sum(axis=0)
        weighted /= total
        off = powers - equal
        loss = float((top + np.log(total)).sum() - powers @ own)
        gradient = flat @ weighted.ravel() - own
        return loss + 0.5 * float(off @ off) / _PRIOR_DEVIATION**2, gradient + off / _PRIOR_DEVIATION**2

    bounds = [(0.0, 3.0)] * len(names)
    found = minimize(objective, equal, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 25})
    return {name: float(power) for name, power in zip(names, found.x, strict=True)}
