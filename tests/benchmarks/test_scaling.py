"""The benchmark of a refresh by its number of tasks, on small projects."""

from __future__ import annotations

from benchmarks.scaling import STEPS, sheets
from tests.benchmarks.conftest import Bench


def test_every_step_of_two_refreshes_is_done_and_timed(bench: Bench) -> None:
    figures = bench("scaling", "--tasks", "3000", "8000")
    for n, one in figures["sizes"].items():
        assert set(one["first"]) == set(one["next"]) == set(STEPS)
        assert min(one["first"].values()) > 0
        # 5 % of the labels are made up anew, so that a tenth of those is right by chance
        assert one["accuracy"] > 0.9
        assert 0.5 < one["suspects"] / (int(n) * 0.1 * 0.05 * 0.9) < 2.0
        assert one["memory"] > one["started"] > 1e7
        assert one["vectors"] > int(n) * 512 * 2
    assert figures["sizes"]["8000"]["snapshot"] > 2 * figures["sizes"]["3000"]["snapshot"]
    tables = sheets(figures)
    assert tables["summary"].columns == ("tasks", "3,000", "8,000")
    assert len(tables["steps"].rows) == 2 * len(STEPS)
