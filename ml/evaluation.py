"""How good labels are to learn from: a simple classifier on frozen vectors, judged on other images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.datasets.embedding import Embedded
from ml.datasets.encoding import encode
from ml.datasets.example import DatasetError
from ml.heads.logistic import NotEnoughClasses
from ml.learners import choices
from ml.training.metrics import judge_classifier


@dataclass(frozen=True)
class Evaluation:
    """What a classifier is worth.

    Attributes
    ----------
    classes : list of str
    f1 : ndarray of float, shape (K,)
        Of each class, in [0, 1]; NaN where none is given or predicted in the validation part.
    macro_f1 : float
        Their mean, as `lineup predict --macro-f1` has it.
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
    probs = np.zeros((len(truth), len(classes)))
    probs[:, seen] = fit.head.predict_proba(validation.vectors)
    found = judge_classifier(probs, truth, len(classes))
    return Evaluation(
        classes,
        np.array([np.nan if one is None else one for one in found["f1"]]),
        found["macro_f1"],
        found["accuracy"],
        np.array(found["confusion"]),
        len(train),
        len(validation),
        len(set(train.keys) & set(validation.keys)),
    )
