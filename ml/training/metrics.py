"""What a classifier is worth on images it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np


def judge_classifier(probabilities: np.ndarray, targets: np.ndarray, classes: int) -> dict[str, Any]:
    """Return accuracy, macro F1, log-loss, F1 by class and the confusion matrix.

    Parameters
    ----------
    probabilities : ndarray of float, shape (n, classes)
    targets : ndarray of int, shape (n,)
    classes : int

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1`` (over classes that are given or predicted), ``log_loss``, ``f1`` (None for a class
        that is neither) and ``confusion`` (rows: given, columns: predicted).
    """
    from sklearn.metrics import confusion_matrix, f1_score

    predicted = probabilities.argmax(axis=1)
    labels = np.arange(classes)
    f1 = f1_score(targets, predicted, labels=labels, average=None, zero_division=0.0)
    there = np.isin(labels, targets) | np.isin(labels, predicted)
    of_target = probabilities[np.arange(len(targets)), targets]
    return {
        "accuracy": float((predicted == targets).mean()),
        "macro_f1": float(f1[there].mean()),
        "log_loss": float(-np.log(np.maximum(of_target, 1e-12)).mean()),
        "f1": [float(value) if here else None for value, here in zip(f1, there, strict=True)],
        "confusion": confusion_matrix(targets, predicted, labels=labels).tolist(),
    }
