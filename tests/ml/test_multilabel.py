from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from ml.heads.logistic import NotEnoughClasses
from ml.heads.sigmoid import MultiLabel, SigmoidHead, fit_sigmoid
from ml.suspicion import make_judge
from ml.suspicion.reasons import DISAGREES, DUPLICATE


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits labelled even, below five, round: vectors, given label sets, rows with a wrong one."""
    X, y = load_digits(return_X_y=True)
    truth = np.stack([y % 2 == 0, y < 5, np.isin(y, [0, 6, 8, 9]), y > 20], axis=1)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.08
    labels = truth.copy()
    labels[wrong, rng.integers(0, 3, wrong.sum())] ^= True
    return X.astype(np.float32), labels, wrong


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> MultiLabel:
    X, labels, _ = digits
    return fit_sigmoid(X, labels, [str(i) for i in range(len(X))])


def test_planted_errors_come_first(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: MultiLabel
) -> None:
    _, labels, wrong = digits
    judged = make_judge("multilabel")(labels, fitted.oos_probs)
    assert average_precision_score(wrong, judged.suspicion) > 4 * wrong.mean()
    assert judged.suspicion.shape == (len(labels),)
    assert judged.class_suspicion.shape == labels.shape
    assert ((judged.suspicion >= 0) & (judged.suspicion <= 1)).all()
    assert judged.class_suspicion[:, 3].max() == 0
    assert DISAGREES in judged.reason
    assert judged.expected_wrong < 0.4 * len(labels)


def test_the_head_serves_new_vectors(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: MultiLabel, tmp_path: Path
) -> None:
    X, labels, _ = digits
    save_file(fitted.head.to_arrays(), tmp_path / "head.safetensors")
    head = SigmoidHead.from_arrays(load_file(tmp_path / "head.safetensors"))
    probs = head.predict_proba(X)
    assert np.array_equal(probs, fitted.head.predict_proba(X))
    assert ((probs > 0.5) == labels).mean() > 0.9
    assert probs[:, 3].max() < 0.05
    with pytest.raises(ValueError, match=r"\(n, 64\)"):
        head.predict_proba(X[:, :5])


def test_duplicates_with_other_classes() -> None:
    labels = np.array([[True, False], [False, True], [True, False]])
    judged = make_judge("multilabel")(labels, np.full((3, 2), 0.5), groups=np.array([0, 0, 2]))
    assert judged.reason[:2] == [DUPLICATE, DUPLICATE]
    assert judged.twin.tolist() == [1, 0, -1]


def test_no_labels_and_nothing_to_learn() -> None:
    judged = make_judge("multilabel")(np.zeros((0, 3), dtype=bool), np.zeros((0, 3)))
    assert judged.reason == []
    with pytest.raises(NotEnoughClasses, match="label more"):
        fit_sigmoid(np.zeros((3, 2)), np.ones((3, 2), dtype=bool), ["a", "b", "c"])
    with pytest.raises(ValueError, match="first length"):
        fit_sigmoid(np.zeros((3, 2)), np.ones((2, 2), dtype=bool), ["a", "b", "c"])
    with pytest.raises(ValueError, match="self_confidence"):
        make_judge("multilabel")(np.ones((1, 2), dtype=bool), np.ones((1, 2)), method="vibes")
