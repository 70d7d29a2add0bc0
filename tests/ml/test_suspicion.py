from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from ml.heads.ensemble import Ensemble, fit_ensemble
from ml.suspicion import make_judge
from ml.suspicion.choices import judge
from ml.suspicion.filters import FILTERS, find_issues
from ml.suspicion.reasons import (
    ANNOTATORS,
    DISAGREES,
    DUPLICATE,
    NEAR_DUPLICATE,
    NEIGHBOURS,
    OUTLIER,
    TOO_FEW,
    choose_reasons,
    find_twins,
)
from ml.suspicion.scores import SCORES
from ml.suspicion.threshold import review_threshold


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray, Ensemble]:
    """Digits with 8 % of the labels wrong: given labels, which are wrong, the fit."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(y)) < 0.08
    given_labels = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    return given_labels, wrong, fit_ensemble(X, given_labels, 10, [str(i) for i in range(len(y))])


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 1000), st.sampled_from(sorted(SCORES)))
def test_ranges(n: int, n_classes: int, seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), n).astype(np.float32)
    labels = rng.integers(0, n_classes, n)
    judged = judge(labels, probs, method=method)
    assert np.isfinite(judged.suspicion).all()
    assert ((judged.suspicion >= 0) & (judged.suspicion <= 1)).all()
    assert judged.expected_wrong == pytest.approx(judged.suspicion.sum())
    assert (judged.suspect == (judged.suspicion >= judged.threshold)).all()
    assert [reason != "" for reason in judged.reason] == judged.suspect.tolist()


def test_no_labels() -> None:
    judged = judge(np.zeros(0, dtype=int), np.zeros((0, 3)))
    assert judged.suspicion.shape == judged.suggestion.shape == judged.confidence.shape == (0,)
    assert judged.reason == []
    assert judged.expected_wrong == 0


def test_suspicion_is_an_honest_probability(noisy: tuple[np.ndarray, np.ndarray, Ensemble]) -> None:
    labels, wrong, fit = noisy
    judged = make_judge("choices")(labels, fit.oos_probs, folds=fit.folds)
    assert average_precision_score(wrong, judged.suspicion) > 0.97
    assert judged.expected_wrong == pytest.approx(wrong.sum(), rel=0.35)
    for part in np.array_split(np.argsort(judged.suspicion), 10):
        assert abs(judged.suspicion[part].mean() - wrong[part].mean()) < 0.15


def test_the_chosen_threshold_finds_the_errors(noisy: tuple[np.ndarray, np.ndarray, Ensemble]) -> None:
    labels, wrong, fit = noisy
    judged = judge(labels, fit.oos_probs)
    f1 = 2 * (judged.suspect & wrong).sum() / (judged.suspect.sum() + wrong.sum())
    assert f1 > 0.9
    strict, loose = (judge(labels, fit.oos_probs, precision=wanted).suspect for wanted in (0.95, 0.5))
    assert strict.sum() < loose.sum()
    assert wrong[strict].mean() > 0.9


@pytest.mark.parametrize("method", sorted(SCORES))
def test_every_score_finds_planted_errors(
    noisy: tuple[np.ndarray, np.ndarray, Ensemble], method: str
) -> None:
    labels, wrong, fit = noisy
    judged = judge(labels, fit.oos_probs, method=method)
    assert average_precision_score(wrong, judged.suspicion) > 0.9


@pytest.mark.parametrize("method", FILTERS)
def test_every_filter_finds_planted_errors(
    noisy: tuple[np.ndarray, np.ndarray, Ensemble], method: str
) -> None:
    labels, wrong, fit = noisy
    found = judge(labels, fit.oos_probs, filter_by=method).suspect
    assert 2 * (found & wrong).sum() / (found.sum() + wrong.sum()) > 0.75


def test_a_filter_with_absent_classes() -> None:
    probs = np.array([[0.9, 0.1, 0.0]] * 20 + [[0.1, 0.9, 0.0]] * 20)
    labels = np.repeat([0, 1], 20)
    labels[0] = 1
    assert find_issues(labels, probs, "both").tolist() in ([True, *[False] * 39], [False] * 40)
    assert not find_issues(np.zeros(3, dtype=int), probs[:3]).any()


def test_reviews_correct_the_probabilities(noisy: tuple[np.ndarray, np.ndarray, Ensemble]) -> None:
    labels, wrong, fit = noisy
    first = judge(labels, fit.oos_probs)
    reviewed = np.zeros(len(labels), dtype=bool)
    reviewed[np.argsort(-first.suspicion)[:400]] = True
    # everything was right: the model was too suspicious
    kept = judge(labels, fit.oos_probs, reviewed=reviewed, before=labels)
    assert kept.suspicion[wrong].mean() < 0.5 * first.suspicion[wrong].mean()
    assert kept.calibration is not None
    assert kept.calibration.n_reviewed == 400
    order = np.argsort(first.suspicion, kind="stable")
    assert (np.diff(kept.suspicion[order]) >= -1e-9).all()
    unknown = judge(labels, fit.oos_probs, reviewed=reviewed, before=np.full(len(labels), -1))
    assert np.array_equal(unknown.suspicion, first.suspicion)


def test_what_is_left_of_a_long_review_stays_calibrated() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 4000)
    logits = 2.5 * np.eye(4)[truth] + rng.normal(size=(4000, 4))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(4000) < 0.12
    labels = np.where(wrong, (truth + rng.integers(1, 4, 4000)) % 4, truth)
    first = judge(labels, probs)
    for count in (200, 600):
        reviewed = np.zeros(4000, dtype=bool)
        reviewed[np.argsort(-first.suspicion)[:count]] = True
        after = judge(np.where(reviewed, truth, labels), probs, reviewed=reviewed, before=labels)
        assert after.expected_wrong == pytest.approx((wrong & ~reviewed).sum(), rel=0.4)


def test_a_few_reviews_move_little(noisy: tuple[np.ndarray, np.ndarray, Ensemble]) -> None:
    labels, _, fit = noisy
    first = judge(labels, fit.oos_probs)
    reviewed = np.zeros(len(labels), dtype=bool)
    reviewed[np.argsort(first.suspicion)[[0, 1000, -200]]] = True
    after = judge(labels, fit.oos_probs, reviewed=reviewed, before=labels)
    assert np.abs(after.suspicion - first.suspicion).max() < 0.1


def test_the_threshold_follows_the_wanted_precision() -> None:
    suspicion = np.array([0.9, 0.8, 0.4, 0.1])
    assert review_threshold(suspicion, precision=0.85) == pytest.approx(0.6)
    assert review_threshold(suspicion, precision=0.7) == pytest.approx(0.25)
    assert review_threshold(suspicion, precision=0.95) == 1.0
    assert review_threshold(suspicion) == pytest.approx(0.6)
    assert review_threshold(np.full(30, 0.1)) == review_threshold(np.zeros(5)) == 1.0
    with pytest.raises(ValueError, match="precision"):
        review_threshold(suspicion, precision=0.0)


def test_a_review_comes_to_its_end() -> None:
    suspicion = np.array([0.95] * 40 + [0.3] * 10 + [0.05] * 200)
    first = review_threshold(suspicion)
    assert 0.3 < first < 0.95
    # all of the first list were looked at and 38 were wrong: nothing less suspicious takes its place
    assert review_threshold(suspicion[40:], checked=40, found=38) == 1.0


def test_reviewed_labels_are_neither_suspect_nor_expected_to_be_wrong(
    noisy: tuple[np.ndarray, np.ndarray, Ensemble],
) -> None:
    labels, _, fit = noisy
    first = judge(labels, fit.oos_probs)
    after = judge(labels, fit.oos_probs, reviewed=first.suspect, before=np.full(len(labels), -1))
    assert not after.suspect[first.suspect].any()
    assert after.expected_wrong < 0.5 * first.expected_wrong


def test_what_a_filter_passes_stays_below_the_threshold(
    noisy: tuple[np.ndarray, np.ndarray, Ensemble],
) -> None:
    labels, _, fit = noisy
    judged = judge(labels, fit.oos_probs, filter_by="both")
    assert judged.suspect.any()
    assert np.array_equal(judged.suspect, judged.suspicion >= judged.threshold)


def test_a_class_that_could_not_be_learned_is_not_judged() -> None:
    probs = np.array([[0.98, 0.01, 0.01]] * 40)
    labels = np.array([0, 0, 1, 2, 2, *[0] * 35])
    judged = judge(labels, probs, folds=np.array([0, 1, 0, 3, 4, *[0, 1, 2, 3, 4] * 7]))
    assert judged.suspicion[2] < 0.5
    assert judged.reason[2] == TOO_FEW
    assert not judged.suspect[2]
    # class 2 has an example in another fold
    assert judged.reason[3] == judged.reason[4] == DISAGREES


def test_duplicates_labelled_differently() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.45, 0.55], [0.9, 0.1]])
    keys = ["a", "a", "a", "b", "b", "c"]
    judged = judge(np.array([1, 1, 0, 0, 1, 0]), probs, keys=keys)
    assert judged.reason == [DUPLICATE] * 5 + [""]
    assert judged.twin.tolist() == [2, 2, 0, 4, 3, -1] or judged.twin.tolist() == [2, 2, 1, 4, 3, -1]
    # two copies outvote the third even against the model, and a draw goes to the model's side
    assert judged.suspicion[2] >= 0.5
    assert judged.suspicion[3] >= 0.5
    assert judged.suspicion[4] < 0.5


def test_duplicates_that_agree_are_fine() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    judged = judge(np.array([0, 0, 1]), probs, keys=["a", "a", "b"], precision=0.9)
    assert judged.reason == [NEAR_DUPLICATE, NEAR_DUPLICATE, ""]


def test_one_reason_a_row_the_most_telling_first() -> None:
    suspect = np.array([True, True, True, False, False, False, True])
    reasons = choose_reasons(
        suspect,
        disagrees=np.array([True, True, False, False, False, False, True]),
        twins=np.array([-1, -1, -1, 0, -1, -1, -1]),
        labels=np.zeros(7, dtype=int),
        neighbour_label=np.ones(7, dtype=int),
        neighbour_support=np.full(7, 0.1),
        agreement=np.array([0.2, np.nan, 1.0, 1.0, 1.0, 1.0, 1.0]),
        outlier=np.array([0.0, 0.9, 0.0, 0.9, 0.9, 0.9, 0.9]),
        image=["image dark", "", "", "image dark", "image dark", "", ""],
    )
    assert reasons == [ANNOTATORS, DISAGREES, NEIGHBOURS, DUPLICATE, "image dark", OUTLIER, DISAGREES]


def test_twins_have_another_label() -> None:
    twins = find_twins(np.array([0, 1, 0, 2, 2]), np.array([0, 0, 0, 3, 3]))
    assert twins[1] in (0, 2)
    assert twins[0] == twins[2] == 1
    assert twins[3] == twins[4] == -1


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="choices"):
        make_judge("masks")
    with pytest.raises(ValueError, match="log_margin"):
        judge(np.zeros(1, dtype=int), np.ones((1, 2)) / 2, method="vibes")
    with pytest.raises(ValueError, match="confident_learning"):
        judge(np.zeros(1, dtype=int), np.ones((1, 2)) / 2, filter_by="vibes")
