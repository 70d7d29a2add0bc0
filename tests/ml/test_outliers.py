from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from ml.outliers import OUTLIERS, make_outliers
from ml.outliers.scale import tukey_score


@pytest.fixture(scope="module")
def strangers() -> tuple[np.ndarray, np.ndarray]:
    """Digits and 20 images of noise: vectors, which are noise."""
    X = load_digits().data
    noise = np.random.default_rng(0).uniform(0, 16, (20, 64))
    return np.vstack([X, noise]), np.arange(len(X) + 20) >= len(X)


@pytest.mark.parametrize("name", sorted(OUTLIERS))
def test_strangers_stand_out(strangers: tuple[np.ndarray, np.ndarray], name: str) -> None:
    X, strange = strangers
    scores = make_outliers(name)(X, seed=0)
    assert scores.shape == (len(X),)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert roc_auc_score(strange, scores) > 0.95
    assert (scores[~strange] >= 0.5).mean() < 0.06
    assert np.array_equal(scores, make_outliers(name)(X, seed=0))


@pytest.mark.parametrize("name", sorted(OUTLIERS))
@pytest.mark.parametrize("n", [0, 1, 2, 5, 6])
def test_few_or_equal_rows(name: str, n: int) -> None:
    scores = make_outliers(name)(np.ones((n, 3)))
    assert scores.shape == (n,)
    assert not (scores >= 0.5).any()


def test_scores_mean_the_same_at_every_scale() -> None:
    values = np.random.default_rng(0).normal(size=500)
    assert np.allclose(tukey_score(values), tukey_score(1000 * values + 5))
    assert tukey_score(np.append(values, 50.0))[-1] > 0.9
    assert tukey_score(np.append(np.zeros(9), 1.0)).tolist() == [0.0] * 9 + [1.0]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="isolation_forest"):
        make_outliers("vibes")
