"""What every learner must do, whatever its labels look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml.heads.logistic import NotEnoughClasses
from ml.learners import LEARNERS, find_learner
from ml.suspicion import JUDGES, make_judge


@pytest.fixture(scope="module")
def vectors() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:300].astype(np.float32), y[:300]


def labels_of(kind: str, y: np.ndarray) -> np.ndarray:
    return {"choices": y, "multilabel": np.stack([y == k for k in range(10)], axis=1)}[kind]


@pytest.mark.parametrize("kind", LEARNERS)
def test_learn_store_go_on_serve_judge(kind: str, vectors: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = vectors
    learner: Any = find_learner(kind)
    labels, keys = labels_of(kind, y), [str(row) for row in range(len(y))]
    fit = learner.fit(X, labels, 10, keys)
    assert fit.oos_probs.shape == (300, 10)
    arrays = fit.to_arrays()
    head = learner.serve(arrays)
    assert np.array_equal(head.predict_proba(X), fit.head.predict_proba(X))
    assert len(head.mean) == X.shape[1]
    again = learner.fit(X, labels, 10, keys, warm=learner.restore(arrays))
    assert np.abs(again.oos_probs - fit.oos_probs).mean() < 0.02
    decided, confidence = learner.decide(fit.oos_probs)
    assert decided.shape == labels.shape
    assert (decided == labels).mean() > 0.9
    assert ((confidence >= 0) & (confidence <= 1)).all()
    question = learner.question(fit.oos_probs)
    assert np.allclose(question.sum(axis=1), 1, atol=1e-5)
    answers = learner.answers(labels)
    assert answers is None or answers.max() < question.shape[1]
    assert learner.count(labels, 10) == np.bincount(y, minlength=10).tolist()
    judged = make_judge(kind)(labels, fit.oos_probs, keys=keys, **fit.evidence())
    assert judged.suggestion.shape == labels.shape
    with pytest.raises(NotEnoughClasses):
        learner.fit(X[:1], labels[:1], 10, keys[:1])


def test_the_question_about_a_set_is_its_least_certain_class() -> None:
    probs = np.array([[0.99, 0.4, 0.0], [0.8, 1.0, 0.9]])
    assert np.allclose(find_learner("multilabel").question(probs), [[0.6, 0.4], [0.2, 0.8]])
    decided, confidence = find_learner("multilabel").decide(probs)
    assert decided.tolist() == [[True, False, False], [True, True, True]]
    assert np.allclose(confidence, [0.6, 0.8])


def test_every_kind_has_a_learner_and_a_judge() -> None:
    assert set(LEARNERS) == set(JUDGES)
    with pytest.raises(ValueError, match="there are choices, multilabel"):
        find_learner("boxes")
