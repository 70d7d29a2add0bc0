"""The benchmark of propagation, on clouds of points that lie close."""

from __future__ import annotations

import numpy as np

from benchmarks.propagation import ROUNDS, measure, sheets, targets


def test_people_are_asked_as_often_by_all_and_better_than_at_random() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 700)
    X = (rng.normal(size=(4, 16))[y] + rng.normal(size=(700, 16))).astype(np.float32)
    found = {"set": "clouds", "start": 0.1, "precision": 0.95, **measure(X, y, 0.1, 0.95)}
    assert found["propagated_right"] > 0.9
    for rounds in map(str, ROUNDS):
        assert 0 < found[rounds]["asked"] <= found["asked"] < 1
        assert found[rounds]["propagation"] > found[rounds]["random"]
        assert found[rounds]["propagation"] > found["1"]["asked"]
    figures = {"runs": [found]}
    assert len(targets(figures)) == 1 + len(ROUNDS)
    assert len(sheets(figures)["sets"].rows) == len(ROUNDS)
