"""What the demo measures."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from demo.figures import Pool, found, random_order, share_right


def test_precision_and_recall_count_planted_errors_from_the_top() -> None:
    order, planted = [5, 1, 9, 2, 7], {5, 9, 7, 30}
    top = found(order, planted, 3)
    assert (top.looked_at, top.hits) == (3, 2)
    assert (top.precision, top.recall) == (pytest.approx(2 / 3), 0.5)
    assert found(order, planted).recall == 0.75
    assert (found([], planted).precision, found([], set()).recall) == (0.0, 0.0)


def test_the_share_of_right_labels() -> None:
    assert share_right(["a", "b"], ["a", "c"]) == 0.5
    assert share_right([], []) == 0.0


@pytest.fixture
def pool() -> Pool:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 120)
    X = (np.eye(3)[truth] * 1.2 + rng.normal(0, 0.6, (120, 3))).astype(np.float32)
    start = np.where(np.arange(120) < 20, truth, -1)
    keys = [hashlib.md5(row.tobytes()).hexdigest() for row in X]
    return Pool(X, keys, truth, start, 3)


def test_random_order_is_all_right_once_all_is_labelled(pool: Pool) -> None:
    steps = []
    shares = random_order(pool, [0, 50, 100], 1, lambda: steps.append(1))
    assert 0.4 < shares[0] < 1
    assert shares[1] >= shares[0]
    assert shares[2] == 1.0
    assert len(steps) == 3


def test_random_order_depends_on_the_seed_only(pool: Pool) -> None:
    assert random_order(pool, [0, 30], 1) == random_order(pool, [0, 30], 1)
    assert random_order(pool, [0], 1) == random_order(pool, [0], 2)
