from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from ml.heads.logistic import NotEnoughClasses
from ml.heads.sets import SetEnsemble, fit_sets
from ml.heads.sigmoid import SigmoidHead, fit_sigmoid
from ml.suspicion import make_judge
from ml.suspicion.filters import FILTERS
from ml.suspicion.reasons import DISAGREES, DUPLICATE, NEIGHBOURS, TOO_FEW
from ml.suspicion.scores import SCORES


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
def fitted(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> SetEnsemble:
    X, labels, _ = digits
    return fit_sets(X, labels, [str(i) for i in range(len(X))])


def test_planted_errors_come_first(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble
) -> None:
    _, labels, wrong = digits
    judge = make_judge("multilabel")
    judged = judge(labels, fitted.oos_probs, **fitted.evidence())
    precision = average_precision_score(wrong, judged.suspicion)
    assert precision > 0.95
    for method in ("self_confidence", "confidence_weighted_entropy"):
        alone = judge(labels, fitted.oos_probs, method=method)
        assert precision > average_precision_score(wrong, alone.suspicion)
    assert judged.suspicion.shape == (len(labels),)
    assert judged.class_suspicion.shape == labels.shape
    assert ((judged.suspicion >= 0) & (judged.suspicion <= 1)).all()
    assert judged.class_suspicion[:, 3].max() == 0
    assert DISAGREES in judged.reason
    assert 0.8 < judged.expected_wrong / wrong.sum() < 1.2
    suspects = judged.suspicion >= 0.5
    assert wrong[suspects].mean() > 0.85
    assert suspects[wrong].mean() > 0.8


def test_the_head_serves_new_vectors(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble, tmp_path: Path
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


def test_neighbours_know_what_no_half_space_does(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble
) -> None:
    _, labels, _ = digits
    pooled, linear = ((probs > 0.5) == labels for probs in (fitted.oos_probs, fitted.linear.oos_probs))
    assert pooled.mean() > linear.mean() + 0.02
    assert fitted.weights["neighbours"] > 0.5
    assert ((fitted.neighbour_shares >= 0) & (fitted.neighbour_shares <= 1)).all()


def test_neighbours_are_named_where_only_they_disagree() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((200, 2)) < 0.5
    probs = np.where(labels, 0.95, 0.05)
    shares = np.where(labels, 0.9, 0.1)
    probs[:3] = np.where(labels[:3], 0.52, 0.48)
    shares[:3] = np.where(labels[:3], 0.1, 0.9)
    judged = make_judge("multilabel")(labels, probs, neighbour_shares=shares, precision=0.01)
    assert judged.reason[:3] == [NEIGHBOURS] * 3


@pytest.mark.parametrize("name", FILTERS)
def test_filters_decide_instead_of_the_threshold(
    name: str, digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble
) -> None:
    _, labels, wrong = digits
    judged = make_judge("multilabel")(labels, fitted.oos_probs, filter_by=name)
    assert wrong[judged.suspect].mean() > 0.5
    assert judged.suspect[wrong].mean() > 0.5
    assert np.array_equal(judged.suspect, judged.suspicion >= judged.threshold)


@pytest.mark.parametrize("method", SCORES)
def test_every_score_is_better_than_chance(
    method: str, digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble
) -> None:
    _, labels, wrong = digits
    judged = make_judge("multilabel")(labels, fitted.oos_probs, method=method)
    assert average_precision_score(wrong, judged.suspicion) > 5 * wrong.mean()


def test_duplicates_with_other_classes() -> None:
    labels = np.array([[True, False], [False, True], [True, False]])
    judged = make_judge("multilabel")(labels, np.full((3, 2), 0.5), groups=np.array([0, 0, 2]))
    assert judged.reason[:2] == [DUPLICATE, DUPLICATE]
    assert judged.twin.tolist() == [1, 0, -1]


def test_no_labels_and_nothing_to_learn() -> None:
    judged = make_judge("multilabel")(np.zeros((0, 3), dtype=bool), np.zeros((0, 3)))
    assert judged.reason == []
    with pytest.raises(NotEnoughClasses, match="label more"):
        fit_sets(np.zeros((3, 2)), np.ones((3, 2), dtype=bool), ["a", "b", "c"])
    with pytest.raises(ValueError, match="first length"):
        fit_sets(np.zeros((3, 2)), np.ones((2, 2), dtype=bool), ["a", "b", "c"])
    with pytest.raises(ValueError, match="self_confidence"):
        make_judge("multilabel")(np.ones((1, 2), dtype=bool), np.ones((1, 2)), method="vibes")


def test_a_fit_goes_on_from_an_earlier_one_stored_or_not(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble, tmp_path: Path
) -> None:
    X, labels, _ = digits
    keys = [str(i) for i in range(len(X))]
    save_file(fitted.to_arrays(), tmp_path / "head.safetensors")
    restored = SetEnsemble.from_arrays(load_file(tmp_path / "head.safetensors"))
    for warm in (fitted, restored):
        again = fit_sets(X, labels, keys, warm=warm)
        assert again.linear.l2 == fitted.linear.l2
        assert np.array_equal(again.linear.folds, fitted.linear.folds)
        assert np.abs(again.oos_probs - fitted.oos_probs).max() < 0.05
    other = fit_sets(X, labels[:, :2], keys, warm=fitted)
    assert other.oos_probs.shape == (len(X), 2)


def test_sets_that_come_a_few_at_a_time_get_the_penalty_of_many(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, labels, _ = digits
    grown = None
    for n in range(100, 161, 10):
        grown = fit_sigmoid(X[:n], labels[:n], [str(i) for i in range(n)], warm=grown)
        assert grown.n_rows * 1.25 >= n


def test_reviews_correct_the_calibration(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: SetEnsemble
) -> None:
    _, labels, _ = digits
    judge = make_judge("multilabel")
    blind = judge(labels, fitted.oos_probs)
    checked = blind.suspicion >= np.quantile(blind.suspicion, 0.9)
    kept = judge(labels, fitted.oos_probs, reviewed=checked, before=labels)
    assert kept.calibration.n_reviewed == checked.sum()
    assert kept.expected_wrong < 0.8 * blind.expected_wrong, "reviewers found nothing wrong"
    before = labels.copy()
    before[checked, 0] ^= True
    corrected = judge(labels, fitted.oos_probs, reviewed=checked, before=before)
    assert corrected.expected_wrong > kept.expected_wrong, "reviewers changed them all"
    nobody = judge(labels, fitted.oos_probs, reviewed=np.zeros(len(labels), bool), before=labels)
    assert np.array_equal(nobody.suspicion, blind.suspicion)


def test_a_class_seen_in_one_fold_only_cannot_be_judged() -> None:
    rng = np.random.default_rng(0)
    labels = np.stack([np.arange(40) % 2 == 0, np.arange(40) == 3], axis=1)
    probs = np.where(labels, 0.9, 0.1) + rng.normal(0, 0.02, labels.shape)
    probs[3, 1] = 0.01
    judged = make_judge("multilabel")(labels, probs, folds=np.arange(40) % 5)
    assert judged.reason[3] == TOO_FEW
    assert judged.suspicion[3] < 0.5
    assert not judged.suspect[3]


def test_the_copy_that_is_outvoted_is_suspect() -> None:
    labels = np.array([[True, False], [True, False], [True, True], *[[False, True]] * 20])
    keys = ["same"] * 3 + [str(row) for row in range(20)]
    probs = np.where(labels, 0.9, 0.1)
    judged = make_judge("multilabel")(labels, probs, keys=keys)
    assert judged.suspicion[2] >= 0.5
    assert judged.reason[2] == DUPLICATE
    assert judged.twin[2] in (0, 1)


@pytest.mark.parametrize("n_classes", [1, 3])
@pytest.mark.parametrize("filter_by", [None, *FILTERS])
def test_one_class_or_a_handful_of_sets_is_no_trouble(
    n_classes: int, filter_by: str | None, digits: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    X, labels, _ = digits
    for n in (6, 60):
        keys = [str(row) for row in range(n)]
        given = labels[:n, :n_classes]
        fit = fit_sets(X[:n], given, keys)
        judged = make_judge("multilabel")(
            given, fit.oos_probs, keys=keys, filter_by=filter_by, **fit.evidence()
        )
        assert np.isfinite(judged.suspicion).all()
        assert judged.suggestion.shape == (n, n_classes)
        assert len(judged.reason) == n


@pytest.mark.parametrize("n_classes", [1, 2, 5])
@pytest.mark.parametrize("method", SCORES)
def test_whatever_the_first_reviewed_sets_were(n_classes: int, method: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((60, n_classes)) < 0.4
    probs = np.clip(np.where(labels, 0.8, 0.2) + rng.normal(0, 0.1, labels.shape), 0.01, 0.99)
    judge = make_judge("multilabel")
    for rows in ([3], [3, 4], range(60)):
        reviewed = np.isin(np.arange(60), rows)
        for fill, known in ((0, True), (1, True), (-1, False)):
            before = np.full(labels.shape, fill, dtype=np.int8)
            judged = judge(labels, probs, reviewed=reviewed, before=before, method=method)
            assert np.isfinite(judged.suspicion).all()
            assert not judged.suspect[reviewed].any()
            assert judged.calibration.n_reviewed == (len(rows) if known else 0)
    for same in (np.zeros((5, n_classes), bool), np.ones((5, n_classes), bool)):
        assert np.isfinite(judge(same, np.full(same.shape, 0.1), method=method).suspicion).all()
