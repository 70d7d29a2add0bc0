from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from ml.outliers import OUTLIERS, make_outliers
from ml.survey import make_survey


def keys(start: int, end: int) -> list[str]:
    return [f"{row:032x}" for row in range(start, end)]


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits().data.astype(np.float32)


@pytest.mark.parametrize("method", sorted(OUTLIERS))
def test_strangers_stand_out_beside_copies(digits: np.ndarray, method: str) -> None:
    noise = np.random.default_rng(0).uniform(0, 16, (5, 64)).astype(np.float32)
    X = np.vstack([digits[:400], noise, digits[:3] + 1e-3])
    survey = make_survey(keys(0, 408), X, method)
    assert roc_auc_score(np.arange(405) >= 400, survey.outlier[:405]) > 0.9
    assert survey.groups[405:].tolist() == survey.groups[:3].tolist() == [0, 1, 2]


def test_new_images_are_found_as_if_all_were_new(digits: np.ndarray) -> None:
    before = make_survey(keys(0, 900), digits[:900], "knn_distance")
    warm = make_survey(keys(50, 950), digits[50:950], "knn_distance", warm=before)
    fresh = make_survey(keys(50, 950), digits[50:950], "knn_distance")
    assert np.corrcoef(warm.outlier, fresh.outlier)[0, 1] > 0.99
    assert warm.covers(keys(50, 950), "knn_distance")
    assert not warm.covers(keys(50, 950), "dbscan")
    assert not warm.covers(keys(50, 951), "knn_distance")


@pytest.mark.parametrize("n", [0, 1, 5, 19])
def test_among_few_nothing_is_an_outlier(n: int) -> None:
    X = np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    X[: n // 5] *= 50
    assert make_survey(keys(0, n), X, "knn_distance").outlier.tolist() == [0.0] * n


def test_neighbours_found_before_change_nothing(digits: np.ndarray) -> None:
    from ml.neighbours import find_neighbours
    from ml.outliers.scale import unit_rows

    X = digits[:300]
    found = find_neighbours(unit_rows(X), 32)
    for name in OUTLIERS:
        method = make_outliers(name)
        assert np.allclose(method(X), method(X, neighbours=found), atol=1e-5)
