"""The benchmark of query strategies on digits; what each is worth there is in tests/ml/test_acquisition_campaign.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.priority import areas, labels_to_reach, sheets, targets
from tests.benchmarks.conftest import Bench

ARGUMENTS = ("--sets", "flowers5_128", "--axes", "32", "--pool", "500", "--budgets", "20", "50", "100", "150")


def test_auto_is_above_chance_and_campaigns_are_kept(bench: Bench, digits: Path) -> None:
    strategies = ("--strategies", "auto,random,margin")
    figures = bench("priority", *ARGUMENTS, *strategies, "--seeds", "2")
    found = figures["sets"]["flowers5_128"]
    assert found["all_labels"] > 0.9
    assert found["best_single"] == "margin"
    assert found["area_minus_random"] > 0.02
    assert found["below_random"] == 0.0
    assert found["strategies"]["auto"]["labels_to_goal"] <= (
        found["strategies"]["random"]["labels_to_goal"] or np.inf
    )
    met = {one.what.split(";")[0]: one.met for one in targets(figures)}
    assert met["flowers5_128: area of auto less that of random"]
    assert {row[0] for row in sheets(figures)["areas"].rows} == {"`auto`", "`random`", "`margin`"}

    # the stop signal has been asked and is not far off
    (signal,) = figures["stop_signal"]
    assert (signal["labels"], signal["campaigns"]) == (100, 2)
    assert abs(signal["bias"]) < 0.1

    # a second run makes no campaign again
    (log,) = (digits / "cache").glob("campaigns-32-0.1-*.jsonl")
    before = log.read_text()
    again = bench("priority", *ARGUMENTS, *strategies, "--seeds", "2")
    assert log.read_text() == before
    assert again["sets"] == figures["sets"]


def test_areas_and_goals() -> None:
    assert areas(np.array([[0.5, 0.5, 0.5]]), np.log([1, 10, 100])) == pytest.approx([0.5])
    assert areas(np.array([[0.0, 1.0]]), np.array([3.0, 5.0])) == pytest.approx([0.5])
    assert labels_to_reach(np.array([0.2, 0.4, 0.8]), 0.6, (10, 100, 1000)) == pytest.approx(10**2.5)
    assert labels_to_reach(np.array([0.2, 0.4, 0.8]), 0.9, (10, 100, 1000)) is None
    assert labels_to_reach(np.array([0.2, 0.4, 0.8]), 0.1, (10, 100, 1000)) == 10
