"""What an audit is worth on digits with planted errors: a small form of the benchmark."""

from __future__ import annotations

import pytest

from benchmarks.audit import sheets, targets
from tests.benchmarks.conftest import Bench


def test_an_audit_finds_more_than_the_usual_recipe_and_keeps_its_word(bench: Bench) -> None:
    figures = bench("audit", "--rows", "600", "--audit-rows", "300")
    at = figures["sets"]["cifar10n_20k"]["shares"]["0.1"]
    assert at["planted"] == 60
    assert at["ap"] > at["usual_ap"] + 0.03
    assert at["ap"] > 0.97
    assert at["f1"] > 0.9 * at["best_f1"]
    assert at["corrections"]["0.9"]["right"] >= 0.9
    assert at["corrections"]["0.8"]["made"] >= at["corrections"]["0.95"]["made"] > 10
    large = figures["large"]
    assert large["rows"] == 300
    assert large["ap"] > 0.9
    assert large["seconds"] == pytest.approx(sum(large["steps"].values()), rel=1e-3)
    reached = {one.what: one.met for one in targets(figures)}
    assert reached["average precision, cifar10n_20k, 10% planted"]
    assert len(sheets(figures)["planted"].rows) == len(sheets(figures)["corrections"].rows) == 3
