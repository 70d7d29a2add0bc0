from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits, make_blobs

from ml.folds import grouped_folds, stable_folds
from ml.heads import ensemble
from ml.heads.basis import fit_basis, leading_basis, project, within
from ml.heads.ensemble import Ensemble, NotEnoughClasses, fit_ensemble
from ml.heads.head import Head, log_softmax
from ml.heads.logistic import fit_logistic
from ml.heads.pool import fit_weights
from ml.heads.ridge import fit_ridge


def keys_of(n: int) -> list[str]:
    return [str(i) for i in range(n)]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> Ensemble:
    X, y = digits
    return fit_ensemble(X[:1200], y[:1200], 10, keys_of(1200))


def test_the_pool_is_better_than_the_logistic_member_alone(
    digits: tuple[np.ndarray, np.ndarray], fitted: Ensemble
) -> None:
    X, y = digits
    alone = fit_logistic(X[:1200], y[:1200], 10, stable_folds(keys_of(1200), 5))
    assert fitted.log_loss < alone.log_loss
    right = fitted.oos_probs.argmax(axis=1) == y[:1200]
    assert right.mean() > 0.97
    assert abs(right.mean() - fitted.oos_probs.max(axis=1).mean()) < 0.03
    assert set(fitted.weights) == {"ridge", "logistic", "neighbours"}


def test_the_head_serves_new_vectors(digits: tuple[np.ndarray, np.ndarray], fitted: Ensemble) -> None:
    X, y = digits
    probs = fitted.head.predict_proba(X[1200:])
    assert (probs.argmax(axis=1) == y[1200:]).mean() > 0.92
    assert np.allclose(probs.sum(axis=1), 1, atol=1e-5)


def test_a_few_labels_that_do_not_predict_each_other_are_better_than_none() -> None:
    X, y = load_digits(return_X_y=True)
    right, sure = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rows = np.array([rng.choice(np.flatnonzero(y == digit)) for digit in range(5)])
        probs = fit_ensemble(X[rows], y[rows], 10, keys_of(5)).head.predict_proba(X)
        right.append((probs.argmax(axis=1) == y)[y < 5].mean())
        sure.append(probs.max(axis=1).mean())
    assert np.mean(right) > 0.5
    assert np.mean(sure) < 0.5


def test_ridge_leaves_each_row_out_exactly(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = (part[:60] for part in digits)
    full, _ = fit_basis(X)
    basis, Z = within(full, project(X, full))
    groups = np.arange(60)
    groups[[7, 20]] = 3
    fit = fit_ridge(Z, basis, y, 10, groups, penalty=1.0)
    share = np.bincount(y, minlength=10) / 60
    for row in (0, 3, 59):
        rest = groups != groups[row]
        A, T = np.column_stack([Z[rest], np.ones(rest.sum())]), np.eye(10)[y[rest]]
        penalty = np.diag([1.0] * Z.shape[1] + [0.0])
        # the intercept is not left to the others alone: its share of the leverage is one in n
        solved = np.linalg.solve(A.T @ A + penalty, A.T @ T)
        value = np.append(Z[row], 1.0) @ solved - share
        scaled = fit.oos_logits[row] - fit.b
        assert np.corrcoef(scaled, value)[0, 1] > 0.9999
        assert np.allclose(scaled / np.linalg.norm(scaled), value / np.linalg.norm(value), atol=5e-3)


def test_near_duplicates_do_not_vouch_for_each_other() -> None:
    X, y = make_blobs(200, 16, centers=4, cluster_std=2.0, random_state=0)
    rng = np.random.default_rng(0)
    twin = X[:20] + rng.normal(0, 1e-3, (20, 16))
    wrong = (y[:20] + 1) % 4
    fit = fit_ensemble(
        np.vstack([X[20:], X[:20], twin]), np.concatenate([y[20:], wrong, wrong]), 4, keys_of(220)
    )
    assert fit.space is not None
    assert (fit.space.groups[180:200] == fit.space.groups[200:]).all()
    assert (fit.folds[180:200] == fit.folds[200:]).all()
    own = fit.oos_probs[np.arange(180, 220), np.concatenate([wrong, wrong])]
    assert own.max() < 0.3


def test_a_row_never_influences_its_own_probabilities(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = (part[:400] for part in digits)
    other = y.copy()
    other[11] = (other[11] + 1) % 10
    before, after = (fit_ensemble(X, labels, 10, keys_of(400)).oos_probs[11] for labels in (y, other))
    assert np.abs(before - after).max() < 0.02


def test_a_warm_fit_is_the_same_fit(digits: tuple[np.ndarray, np.ndarray], fitted: Ensemble) -> None:
    X, y = digits
    fewer = fit_ensemble(X[:1150], y[:1150], 10, keys_of(1150))
    warm = fit_ensemble(X[:1200], y[:1200], 10, keys_of(1200), warm=fewer)
    assert np.abs(warm.oos_probs - fitted.oos_probs).mean() < 0.01
    assert abs(warm.log_loss - fitted.log_loss) < 0.01


def test_labels_that_come_a_few_at_a_time_get_the_penalties_of_many(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    grown, chosen = None, set()
    for n in range(40, 321, 10):
        grown = fit_ensemble(X[:n], y[:n], 10, keys_of(n), warm=grown)
        assert grown.logistic is not None
        assert grown.n_rows * 1.25 >= n
        assert grown.logistic.n_rows * 1.25 >= n
        chosen.add(grown.logistic.n_rows)
    assert grown is not None
    assert len(chosen) < 15, "and they are not chosen anew at every few"
    at_once = fit_ensemble(X[:320], y[:320], 10, keys_of(320))
    assert abs(grown.log_loss - at_once.log_loss) < 0.01


def test_stored_and_restored(digits: tuple[np.ndarray, np.ndarray], fitted: Ensemble, tmp_path: Path) -> None:
    X, y = digits
    save_file(fitted.to_arrays(), tmp_path / "head.safetensors")
    arrays = load_file(tmp_path / "head.safetensors")
    assert np.array_equal(Head.from_arrays(arrays).predict_proba(X), fitted.head.predict_proba(X))
    restored = Ensemble.from_arrays(arrays)
    assert (restored.n_rows, restored.penalty) == (1200, fitted.penalty)
    again = fit_ensemble(X[:1200], y[:1200], 10, keys_of(1200), warm=restored)
    assert np.abs(again.oos_probs - fitted.oos_probs).max() < 0.05


def test_a_warm_start_of_another_problem_is_ignored(fitted: Ensemble) -> None:
    X, y = make_blobs(50, 3, centers=2, random_state=0)
    cold, warm = (fit_ensemble(X, y, 2, keys_of(50), warm=start) for start in (None, fitted))
    assert np.array_equal(cold.oos_probs, warm.oos_probs)


def test_two_labels_are_enough() -> None:
    fit = fit_ensemble(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 2]), 3, ["a", "b"])
    probs = fit.head.predict_proba(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert probs.argmax(axis=1).tolist() == [0, 2]
    assert np.isfinite(fit.oos_probs).all()


def test_identical_vectors_do_no_harm() -> None:
    fit = fit_ensemble(np.ones((6, 4)), np.array([0, 0, 0, 0, 1, 1]), 2, keys_of(6))
    assert np.isfinite(fit.oos_probs).all()
    assert fit.head.predict_proba(np.ones((1, 4))).argmax() == 0


def test_an_absent_class_is_unlikely_not_impossible() -> None:
    X, y = make_blobs(100, 8, centers=3, random_state=0)
    fit = fit_ensemble(X, y, 5, keys_of(100))
    assert (fit.oos_probs[:, 3:] > 0).all()
    assert (fit.head.predict_proba(X)[:, 3:] < 0.05).all()


def test_many_classes_leave_the_logistic_member_out(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_blobs(600, 20, centers=60, cluster_std=2.0, random_state=0)
    monkeypatch.setattr(ensemble, "_LOGISTIC_WORK", 1e6)
    fit = fit_ensemble(X, y, 60, keys_of(600))
    assert fit.logistic is None
    assert set(fit.weights) == {"ridge", "neighbours"}
    assert (fit.oos_probs.argmax(axis=1) == y).mean() > 0.8
    restored = Ensemble.from_arrays(fit.to_arrays())
    assert restored.logistic is None


@pytest.mark.parametrize(
    ("y", "message"), [([], "0 labels"), ([1], "1 label of 1 class "), ([1, 1], "2 labels")]
)
def test_one_class_is_not_enough(y: list[int], message: str) -> None:
    with pytest.raises(NotEnoughClasses, match=message):
        fit_ensemble(np.zeros((len(y), 2)), np.array(y, dtype=int), 3, keys_of(len(y)))


def test_wrong_input_is_named() -> None:
    X, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="first length"):
        fit_ensemble(X[:3], y, 2, keys_of(4))
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        fit_ensemble(X, y, 1, keys_of(4))
    X[2, 1] = np.nan
    with pytest.raises(ValueError, match="row 2"):
        fit_ensemble(X, y, 2, keys_of(4))


def test_a_useless_member_gets_no_weight() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 2000)
    good = log_softmax(3.0 * np.eye(4)[y] + rng.normal(size=(2000, 4)))
    weights = fit_weights({"good": good, "noise": log_softmax(rng.normal(size=(2000, 4)))}, y)
    assert weights["good"] > 0.8
    assert weights["noise"] < 0.1


def test_leading_axes_hold_the_most_variance() -> None:
    rng = np.random.default_rng(0)
    X = (
        rng.normal(size=(1500, 40)) @ rng.normal(size=(40, 900)) + 0.1 * rng.normal(size=(1500, 900))
    ).astype(np.float32)
    basis = leading_basis(X, 40)
    exact, _ = fit_basis(X)
    assert basis.axes.shape == (900, 40)
    assert np.allclose(basis.axes.T @ basis.axes, np.eye(40), atol=1e-4)
    assert basis.spectrum.sum() > 0.9999 * exact.spectrum[::-1][:40].sum()


def test_grouped_folds() -> None:
    keys = [f"k{i}" for i in range(50)]
    groups = np.arange(50)
    groups[[4, 9, 30]] = 4
    folds = grouped_folds(keys, groups, 5)
    assert folds[4] == folds[9] == folds[30] == stable_folds(["k30"], 5)[0]
    alone = np.setdiff1d(np.arange(50), [4, 9, 30])
    assert (folds == stable_folds(keys, 5))[alone].all()
