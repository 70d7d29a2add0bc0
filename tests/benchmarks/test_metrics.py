from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics import best_f1, calibration_error, f1, precision_at, reliability

WRONG = np.array([True, False, True, False, False])
SCORES = np.array([0.9, 0.8, 0.7, 0.2, 0.1])


def test_what_is_found() -> None:
    assert f1(WRONG, SCORES > 0.85) == pytest.approx(2 / 3)
    assert best_f1(WRONG, SCORES) == pytest.approx(0.8)
    assert f1(WRONG, np.zeros(5, dtype=bool)) == 0.0
    assert precision_at(WRONG, SCORES, np.array([0.1, 0.5, 0.6, 1.0])) == pytest.approx([1, 1, 2 / 3, 2 / 3])


def test_probabilities_that_are_true_have_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random(50_000)
    wrong = rng.random(50_000) < probs
    assert calibration_error(probs, wrong) < 0.02
    assert calibration_error(np.ones(10), np.zeros(10, dtype=bool)) == 1.0
    told = reliability(probs, wrong)
    np.testing.assert_allclose(told["suspicion"], told["wrong"], atol=0.03)
    assert reliability(probs[:30], wrong[:30], least=20) == {"suspicion": [], "wrong": []}
