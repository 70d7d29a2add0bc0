"""Labels of scikit-learn's digits spread from a few hundred, and doubts go to people."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from ml.propagation import label_rest, propagate
from ml.propagation.finish import BOTH, CLASSIFIER, NEIGHBOURS
from ml.propagation.propagate import trusted_from
from ml.propagation.votes import Member, find_nearest, vote


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """200 labelled digits and the others: vectors, classes, vectors, classes."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order].astype(np.float32), y[order]
    return X[:200], y[:200], X[200:], y[200:]


def keys(n: int) -> list[str]:
    return [f"{row:032x}" for row in range(n)]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_member_votes_as_scikit_learn_s_classifier(
    digits: tuple[np.ndarray, ...], metric: str, weighted: bool
) -> None:
    L, y, P, _ = digits
    # pixels are whole numbers: no two neighbours shall be equally far
    L, P = (a + np.random.default_rng(1).normal(0, 0.05, a.shape).astype(np.float32) for a in (L, P))
    ours = vote(L, y, 10, P, (Member(15, metric, weighted),))
    weights = "distance" if weighted else "uniform"
    X, Q = (a / np.linalg.norm(a, axis=1, keepdims=True) if metric == "cosine" else a for a in (L, P))
    theirs = KNeighborsClassifier(15, weights=weights).fit(X, y).predict_proba(Q)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_no_labelled_image_votes_for_itself(digits: tuple[np.ndarray, ...]) -> None:
    L, y, *_ = digits
    twice = np.concatenate([L, L[:3]])
    nearest = find_nearest(twice, None, 4, "cosine")
    assert not (nearest.index == np.arange(len(twice))[:, None]).any()
    strange = y.copy()
    strange[0] = (y[0] + 5) % 10
    assert vote(L, strange, 10)[0, strange[0]] < 0.5


def test_what_is_not_asked_is_as_right_as_wanted_and_people_get_few(digits: tuple[np.ndarray, ...]) -> None:
    L, y, P, truth = digits
    asked = []
    for precision in (0.9, 0.97):
        found = propagate(L, y, 10, P, keys(len(L)), precision=precision)
        kept = found.propagated
        assert (found.labels[kept] == truth[kept]).mean() >= precision
        assert found.ask.sum() == found.problem.sum()
        assert (kept + found.ask.astype(int) + found.left == 1).all()
        asked.append(found.ask.mean())
        labels = np.where(found.ask, truth, found.labels)
        at_random = np.random.default_rng(0).choice(len(P), int(found.ask.sum()), replace=False)
        plain = vote(np.concatenate([L, P[at_random]]), np.concatenate([y, truth[at_random]]), 10, P).argmax(
            1
        )
        plain[at_random] = truth[at_random]
        assert (labels == truth).mean() > (plain == truth).mean()
    assert asked[0] < asked[1] < 0.4


def test_a_budget_asks_what_is_left_open_between_two_classes(digits: tuple[np.ndarray, ...]) -> None:
    L, y, P, _ = digits
    whole = propagate(L, y, 10, P, keys(len(L)), precision=0.97)
    found = propagate(L, y, 10, P, keys(len(L)), precision=0.97, budget=40)
    assert whole.ask.sum() == whole.problem.sum() > 40
    assert (found.problem == whole.problem).all()
    assert found.ask.sum() == 40
    assert found.problem[found.ask].all()
    assert found.margin[found.ask].max() <= found.margin[found.left].min()
    # of many questions, those of the classifier come first, problems or not
    whole = propagate(L, y, 10, P, keys(len(L)), precision=1.0)
    assert whole.ask.mean() > 0.15
    assert whole.margin[whole.ask].max() <= whole.margin[~whole.ask].min()


def test_answers_label_the_rest_better_than_as_many_at_random(digits: tuple[np.ndarray, ...]) -> None:
    L, y, P, truth = digits
    found = propagate(L, y, 10, P, keys(len(L)), precision=0.97, budget=150)
    right = []
    for asked in (found.ask, np.random.default_rng(0).permutation(found.ask)):
        known, labels = np.concatenate([L, P[asked]]), np.concatenate([y, truth[asked]])
        given, learner = label_rest(known, labels, 10, P[~asked], keys(len(known)))
        assert learner in {NEIGHBOURS, CLASSIFIER, BOTH}
        right.append((np.sum(given == truth[~asked]) + asked.sum()) / len(P))
    assert right[0] > right[1]
    assert right[0] > 0.97
    assert right[0] > (found.labels == truth).mean()


def test_what_labels_the_rest_is_what_labels_the_known_best() -> None:
    """Two classes in two rings: neighbours tell them apart, a line does not."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    y = np.arange(400) % 2
    X = (np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1.0 + y)[:, None]).astype(np.float32)
    labels, learner = label_rest(X[:200], y[:200], 2, X[200:], keys(200))
    assert learner in {NEIGHBOURS, BOTH}
    assert (labels == y[200:]).mean() > 0.95


def test_a_threshold_keeps_rows_of_equal_confidence_together() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2], [0.6, 0.4]])
    assert trusted_from(shares, np.array([0, 0, 0, 1]), 1.0) == 0.8
    assert trusted_from(shares, np.array([0, 0, 1, 0]), 1.0) == 0.9
    assert trusted_from(shares, np.array([1, 1, 1, 1]), 0.5) > 1.0


def test_one_class_or_a_strange_precision_is_refused(digits: tuple[np.ndarray, ...]) -> None:
    L, y, P, _ = digits
    with pytest.raises(ValueError, match="at least two classes"):
        propagate(L, np.zeros_like(y), 10, P, keys(len(L)))
    with pytest.raises(ValueError, match="precision is a share"):
        propagate(L, y, 10, P, keys(len(L)), precision=0.0)
    with pytest.raises(ValueError, match="a budget is at least one image"):
        propagate(L, y, 10, P, keys(len(L)), budget=0)
