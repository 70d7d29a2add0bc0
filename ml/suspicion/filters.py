"""cleanlab's yes-or-no filters, for those who want them instead of a threshold."""

from __future__ import annotations

import numpy as np

FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")


def check_filter(name: str) -> None:
    """Raise a ValueError that names the filters there are, if there is none of that name."""
    if name not in FILTERS:
        raise ValueError(f"no filter {name!r}: there are {', '.join(FILTERS)}")


def find_issues(labels: np.ndarray, probs: np.ndarray, method: str = "prune_by_noise_rate") -> np.ndarray:
    """Return which labels `cleanlab.filter.find_label_issues` takes for wrong, bool of shape (n,).

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    probs : ndarray of float, shape (n, K)
        Out-of-sample; rows sum to 1.
    method : str
        One of `FILTERS` (Northcutt et al., arXiv 1911.00068).

    Raises
    ------
    ValueError
        If there is no such filter.
    """
    from cleanlab.filter import find_label_issues

    check_filter(method)
    if not len(labels):
        return np.zeros(0, dtype=bool)
    probs = np.asarray(probs, dtype=np.float64)
    probs = probs / probs.sum(axis=1, keepdims=True)
    if method == "predicted_neq_given":
        issues: np.ndarray = probs.argmax(axis=1) != labels
        return issues
    # absent classes upset the noise matrices: judge among those that occur
    present, compact = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return np.zeros(len(labels), dtype=bool)
    among = probs[:, present] / np.maximum(probs[:, present].sum(axis=1, keepdims=True), 1e-12)
    found: np.ndarray = find_label_issues(compact, among, filter_by=method, n_jobs=1)
    return found


def find_set_issues(labels: np.ndarray, probs: np.ndarray, method: str = "prune_by_noise_rate") -> np.ndarray:
    """Return which class sets `cleanlab.multilabel_classification.filter` takes for wrong, bool of shape (n,).

    Parameters
    ----------
    labels : ndarray of bool, shape (n, K)
    probs : ndarray of float, shape (n, K)
        Of each class, out-of-sample.
    method : str
        One of `FILTERS`.

    Raises
    ------
    ValueError
        If there is no such filter.
    """
    from cleanlab.multilabel_classification.filter import find_label_issues

    check_filter(method)
    differ = (probs >= 0.5) != labels
    if method == "predicted_neq_given":
        wrong: np.ndarray = differ.any(axis=1)
        return wrong
    # a class that all rows have, or none, has no noise matrix
    varies = labels.any(axis=0) & ~labels.all(axis=0)
    if not varies.any():
        return np.zeros(len(labels), dtype=bool)
    sets = [np.flatnonzero(row).tolist() for row in labels[:, varies]]
    found: np.ndarray = find_label_issues(sets, probs[:, varies], filter_by=method, n_jobs=1)
    return found
