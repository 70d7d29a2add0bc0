"""How good labels are to learn from: a simple classifier on frozen vectors, judged on other images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from ml.datasets.embedding import Embedded
from ml.datasets.example import DatasetError
from ml.heads.logistic import NotEnoughClasses
from ml.learners import choices
from ml.selection import encode


@dataclass(frozen=True)
class Evaluation:
    """What a classifier is worth.

    Attributes
    ----------
    classes : list of str
    f1 : ndarray of float, shape (K,)
        Of each class, in [0, 1]; NaN where the validation part has none of it.
    macro_f1 : float
        Their mean, over the classes the validation part has.
    accuracy : float
    confusion : ndarray of int, shape (K, K)
        Rows: the label given; columns: predicted.
    train, validation : int
        Images of each part.
    shared : int
        Images that are in both parts by their content, which flatter the figures.
    """

    classes: list[str]
    f1: np.ndarray
    macro_f1: float
    accuracy: float
    confusion: np.ndarray
    train: int
    validation: int
    shared: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; a class without images has no F1."""
        f1 = {
            name: None if math.isnan(one) else one
            for name, one in zip(self.classes, self.f1.tolist(), strict=True)
        }
        return {
            "macro_f1": self.macro_f1,
            "accuracy": self.accuracy,
            "f1": f1,
            "classes": self.classes,
            "confusion": self.confusion.tolist(),
            "train": self.train,
            "validation": self.validation,
            "shared": self.shared,
        }


def evaluate(train: Embedded, validation: Embedded) -> Evaluation:
    """Fit `ml.learners.choices` to one part's vectors and judge it on the other's.

    Raises
    ------
    DatasetError
        If a label is missing, or the training part has only one class.
    """
    classes = sorted({str(example.label) for part in (train, validation) for example in part.examples})
    _, y = encode(train.examples, classes)
    _, truth = encode(validation.examples, classes)
    seen = np.unique(y)  # the head knows the classes of the training part only
    try:
        fit = choices.fit(train.vectors, np.searchsorted(seen, y), len(seen), train.keys)
    except NotEnoughClasses as error:
        raise DatasetError(f"the training part cannot teach: {error}") from error
    predicted = seen[fit.head.predict_proba(validation.vectors).argmax(axis=1)]
    numbers = np.arange(len(classes))
    f1 = f1_score(truth, predicted, labels=numbers, average=None, zero_division=0.0)
    there = np.isin(numbers, truth)
    return Evaluation(
        classes,
        np.where(there, f1, np.nan),
        float(f1[there].mean()),
        float((predicted == truth).mean()),
        confusion_matrix(truth, predicted, labels=numbers),
        len(train),
        len(validation),
        len(set(train.keys) & set(validation.keys)),
    )
