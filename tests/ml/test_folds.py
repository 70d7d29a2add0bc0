from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.folds import stable_folds


@given(st.lists(st.text(), unique=True), st.lists(st.text()), st.integers(2, 12))
def test_a_fold_depends_on_the_key_alone(keys: list[str], others: list[str], n_folds: int) -> None:
    folds = stable_folds(keys, n_folds)
    together = stable_folds([*others, *keys], n_folds)
    assert together[len(others) :].tolist() == folds.tolist()
    assert ((folds >= 0) & (folds < n_folds)).all()


def test_folds_are_about_equal() -> None:
    counts = np.bincount(stable_folds([f"{i:032x}" for i in range(10_000)], 5))
    assert counts.min() > 1800
    assert counts.max() < 2200


def test_one_fold_is_none() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        stable_folds(["a"], 1)
