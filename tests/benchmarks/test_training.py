from __future__ import annotations

from benchmarks.training import sheets
from tests.benchmarks.conftest import Bench
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]


def test_training_is_measured_beside_a_plain_loop(bench: Bench) -> None:
    figures = bench("training", "--training-turns", "1", "--photos", "12", "--folds", "2", "--epochs", "2")
    # two epochs; what ten give is in the docs
    assert figures["digits"]["macro_f1"] > 0.9
    assert figures["digits"]["seconds"] > 0
    # who is faster with a dozen photos is chance
    assert all(one["images_per_s"] > 0 for ways in figures["speed"].values() for one in ways.values())
    assert "colours" not in figures
    tables = sheets(figures)
    assert [row[0] for row in tables["targets"].rows][:2] == ["digits: macro F1", "digits: seconds"]
    assert len(tables["speed"].rows) == 9
