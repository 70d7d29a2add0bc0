from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from sklearn.datasets import load_digits, make_blobs

from ml.folds import stable_folds
from ml.heads.head import Head, log_softmax
from ml.heads.logistic import Logistic, NotEnoughClasses, fit_logistic


def folds_of(n: int) -> np.ndarray:
    return stable_folds([str(i) for i in range(n)], 5)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:800].astype(np.float32), y[:800], folds_of(800)


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Logistic:
    X, y, folds = digits
    return fit_logistic(X, y, 10, folds)


def test_out_of_sample_probabilities_are_good_and_calibrated(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: Logistic
) -> None:
    _, y, _ = digits
    assert fitted.oos_probs.shape == (800, 10)
    assert np.allclose(fitted.oos_probs.sum(axis=1), 1.0, atol=1e-5)
    right = fitted.oos_probs.argmax(axis=1) == y
    assert right.mean() > 0.94
    assert abs(right.mean() - fitted.oos_probs.max(axis=1).mean()) < 0.03


def test_the_head_generalises(fitted: Logistic) -> None:
    X, y = load_digits(return_X_y=True)
    probs = fitted.head.predict_proba(X[800:])
    assert (probs.argmax(axis=1) == y[800:]).mean() > 0.92


def test_a_row_never_influences_its_own_probabilities(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, folds = (part[:300] for part in digits)
    held = folds == 2
    wrong = np.where(held, (y + 1) % 10, y)
    before, after = (fit_logistic(X, labels, 10, folds, l2=0.1) for labels in (y, wrong))
    moved = np.linalg.norm(after.W - before.W, axis=(0, 2)) / np.linalg.norm(before.W, axis=(0, 2))
    # only the model that holds the changed rows out stays where it was, up to the solver's tolerance
    assert moved[2] < 0.01
    assert np.delete(moved, 2).min() > 0.3
    assert (before.oos_probs[held].argmax(axis=1) == after.oos_probs[held].argmax(axis=1)).all()


def test_the_solution_is_the_minimum() -> None:
    X, y = make_blobs(60, 4, centers=3, cluster_std=4.0, random_state=0)
    fit = fit_logistic(X, y, 3, folds_of(60), l2=0.5)
    Z = ((X - fit.head.mean) / fit.head.scale).astype(np.float64)
    prior = np.log((np.bincount(y) + 0.5) / (len(y) + 1.5))

    def objective(flat: np.ndarray) -> float:
        W, b = flat[:12].reshape(4, 3), flat[12:]
        loss = -log_softmax(Z @ W + b)[np.arange(60), y].sum()
        return float(loss + 0.25 * (W**2).sum() + 0.25 * ((b - prior) ** 2).sum())

    ours = objective(np.concatenate([fit.W[:, -1].ravel(), fit.b[-1]]).astype(np.float64))
    best = minimize(objective, np.zeros(15), tol=1e-10).fun
    assert ours == pytest.approx(best, rel=1e-4)


def test_a_warm_start_ends_where_a_cold_one_does(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: Logistic
) -> None:
    X, y, folds = digits
    fewer = fit_logistic(X[:700], y[:700], 10, folds[:700])
    warm = fit_logistic(X, y, 10, folds, warm=fewer)
    cold = fit_logistic(X, y, 10, folds, l2=fewer.l2)
    assert warm.l2 == fewer.l2
    assert np.abs(warm.oos_probs - cold.oos_probs).max() < 0.05
    assert abs(warm.log_loss - cold.log_loss) < 0.01


def test_a_warm_start_of_another_problem_is_ignored(fitted: Logistic) -> None:
    X, y = make_blobs(50, 3, centers=2, random_state=0)
    cold, warm = (fit_logistic(X, y, 2, folds_of(50), warm=start) for start in (None, fitted))
    assert np.array_equal(cold.oos_probs, warm.oos_probs)


def test_stored_and_restored(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], fitted: Logistic, tmp_path: Path
) -> None:
    X, y, folds = digits
    save_file(fitted.to_arrays(), tmp_path / "head.safetensors")
    arrays = load_file(tmp_path / "head.safetensors")
    assert np.array_equal(Head.from_arrays(arrays).predict_proba(X), fitted.head.predict_proba(X))
    restored = Logistic.from_arrays(arrays)
    assert (restored.l2, restored.temperature, restored.n_rows) == (fitted.l2, fitted.temperature, 800)
    one, other = (fit_logistic(X, y, 10, folds, warm=warm) for warm in (fitted, restored))
    assert np.array_equal(one.oos_probs, other.oos_probs)


@pytest.mark.parametrize("folds", [[0, 1], [3, 3]])
def test_two_labels_are_enough(folds: list[int]) -> None:
    fit = fit_logistic(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 2]), 3, np.array(folds))
    probs = fit.head.predict_proba(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert probs.argmax(axis=1).tolist() == [0, 2]
    assert probs.max() < 0.99
    assert np.isfinite(fit.oos_probs).all()


def test_identical_vectors_do_no_harm() -> None:
    fit = fit_logistic(np.ones((6, 4)), np.array([0, 0, 0, 0, 1, 1]), 2, np.arange(6) % 5)
    assert np.allclose(fit.head.predict_proba(np.ones((1, 4))), [[2 / 3, 1 / 3]], atol=0.1)


def test_a_class_absent_from_the_other_folds_is_unlikely_not_impossible() -> None:
    X, y = make_blobs(100, 8, centers=3, random_state=0)
    y[:] = np.where(y == 2, 1, y)
    y[7] = 2
    fit = fit_logistic(X, y, 5, folds_of(100))
    assert 0 < fit.oos_probs[7, 2] < 0.05
    assert (fit.head.predict_proba(X)[:, 3:] > 0).all()
    assert (fit.head.predict_proba(X)[:, 3:] < 0.05).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [([], "0 labels of 0 classes"), ([1], "1 label of 1 class "), ([1, 1], "2 labels of 1 class ")],
)
def test_one_class_is_not_enough(y: list[int], message: str) -> None:
    X = np.zeros((len(y), 2))
    with pytest.raises(NotEnoughClasses, match=message):
        fit_logistic(X, np.array(y, dtype=int), 3, np.zeros(len(y), dtype=int))


def test_wrong_input_is_named() -> None:
    X, y, folds = np.zeros((4, 2)), np.array([0, 1, 0, 1]), np.arange(4)
    with pytest.raises(ValueError, match="first length"):
        fit_logistic(X[:3], y, 2, folds)
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        fit_logistic(X, y, 1, folds)
    with pytest.raises(ValueError, match="from 0"):
        fit_logistic(X, y, 2, folds - 1)
    X[2, 1] = np.nan
    with pytest.raises(ValueError, match="row 2"):
        fit_logistic(X, y, 2, folds)


def test_the_head_refuses_vectors_of_another_embedder(fitted: Logistic) -> None:
    with pytest.raises(ValueError, match=r"\(n, 64\)"):
        fitted.head.predict_proba(np.zeros((1, 63)))


def test_more_features_than_rows() -> None:
    X, y = make_blobs(40, 500, centers=4, cluster_std=3.0, random_state=1)
    fit = fit_logistic(X, y, 4, folds_of(40))
    assert (fit.oos_probs.argmax(axis=1) == y).mean() > 0.95
