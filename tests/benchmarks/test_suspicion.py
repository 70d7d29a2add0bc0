"""What suspicion is worth on digits with planted errors: a small form of the benchmark."""

from __future__ import annotations

from benchmarks.scoring import score_made_up
from benchmarks.suspicion import sheets, targets
from ml.suspicion.filters import FILTERS
from ml.suspicion.scores import DEFAULT, SCORES
from tests.benchmarks.conftest import Bench


def test_lineup_finds_more_than_the_usual_recipe_and_is_honest(bench: Bench) -> None:
    figures = bench("suspicion", "--rows", "800", "--noise", "aggregate", "--sizes")
    level = figures["noise"]["aggregate"]
    usual, ours = level["usual"], level["lineup"]
    assert level["wrong"] > 0.09
    assert ours["ap"] > usual["ap"] + 0.03
    assert ours["best_f1"] > usual["best_f1"] + 0.03
    assert ours["f1"] > usual["f1"] + 0.05
    assert ours["f1"] > 0.95 * ours["best_f1"]
    assert ours["ece"] < 0.05 < usual["ece"]
    # the defaults are the defaults by measurement
    assert max(one["ap"] for one in level["scores"].values()) < level["scores"][DEFAULT]["ap"] + 0.01
    assert max(level["filters"].values()) < ours["f1"] + 0.01
    assert level["wanted"]["0.9"]["precision"] > 0.8
    assert [level["reviewed"][count]["ece"] < 0.05 for count in ("50", "200")] == [True, True]
    # every score and filter has its row, and every target its figure
    found = sheets(figures)
    assert len(found["scores"].rows) == len(SCORES)
    assert len(found["filters"].rows) == len(FILTERS) + 1
    reached = {one.what: one.met for one in targets(figures)}
    assert reached["average precision, aggregate"]
    assert reached["expected calibration error, largest"]


def test_made_up_vectors_are_learned() -> None:
    found = score_made_up(1_000, 32, 8)
    assert found["accuracy"] > 0.6
    assert found["peak_gib"] >= found["peak_before_gib"] > 0
