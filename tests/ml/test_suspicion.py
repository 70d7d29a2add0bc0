from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from ml.folds import stable_folds
from ml.heads.logistic import fit_logistic
from ml.suspicion import make_judge
from ml.suspicion.choices import DISAGREES, DUPLICATE, TOO_FEW, judge


def test_suspicion_follows_the_margin() -> None:
    probs = np.array([[0.9, 0.1, 0.0], [0.4, 0.4, 0.2], [0.1, 0.7, 0.2]])
    judged = judge(np.array([0, 0, 0]), probs)
    assert np.allclose(judged.suspicion, [0.1, 0.5, 0.8])
    assert judged.suggestion.tolist() == [0, 0, 1]
    assert np.allclose(judged.confidence, [0.9, 0.4, 0.7])
    assert judged.reason == ["", "", DISAGREES]


@given(st.integers(1, 30), st.integers(2, 6), st.integers(0, 1000))
def test_ranges_and_meaning(n: int, n_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), n).astype(np.float32)
    labels = rng.integers(0, n_classes, n)
    judged = judge(labels, probs)
    assert ((judged.suspicion >= 0) & (judged.suspicion <= 1)).all()
    suspect = judged.suspicion > 0.5
    assert (suspect == (judged.suggestion != labels)).all()
    assert [reason == DISAGREES for reason in judged.reason] == suspect.tolist()


def test_no_labels() -> None:
    judged = judge(np.zeros(0, dtype=int), np.zeros((0, 3)))
    assert judged.suspicion.shape == judged.suggestion.shape == judged.confidence.shape == (0,)
    assert judged.reason == []


def test_a_class_that_could_not_be_learned_is_not_judged() -> None:
    probs = np.array([[0.98, 0.01, 0.01]] * 5)
    labels = np.array([0, 0, 1, 2, 2])
    judged = judge(labels, probs, folds=np.array([0, 1, 0, 3, 4]))
    assert judged.suspicion[2] < 0.5
    assert judged.reason[2] == TOO_FEW
    # class 2 has an example in another fold
    assert judged.reason[3] == judged.reason[4] == DISAGREES
    assert judged.suspicion[3] > 0.9


def test_duplicates_labelled_differently() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55], [0.9, 0.1]])
    keys = ["a", "a", "a", "b", "b", "c"]
    judged = judge(np.array([1, 1, 0, 0, 1, 0]), probs, keys=keys)
    assert judged.reason == [DUPLICATE] * 5 + [""]
    # two copies outvote the third even against the model, and a draw goes to the model's side
    assert judged.suspicion[2] == 0.5
    assert judged.suspicion[3] > 0.5
    assert judged.suspicion[4] < 0.5


def test_duplicates_that_agree_are_fine() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert judge(np.array([0, 0]), probs, keys=["a", "a"]).reason == ["", ""]


def test_planted_errors_come_first() -> None:
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = X[:1000], y[:1000]
    wrong = rng.random(1000) < 0.08
    given_labels = np.where(wrong, (y + rng.integers(1, 10, 1000)) % 10, y)
    folds = stable_folds([str(i) for i in range(1000)], 5)
    fit = fit_logistic(X, given_labels, 10, folds)
    judged = make_judge("choices")(given_labels, fit.oos_probs, folds=folds)
    assert average_precision_score(wrong, judged.suspicion) > 0.9
    assert (judged.suggestion[wrong] == y[wrong]).mean() > 0.85


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="choices"):
        make_judge("masks")
