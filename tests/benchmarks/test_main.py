from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.data import Missing
from benchmarks.report import Sheet, at_least, at_most, describe, load, machine, save, target_sheet


def test_without_data_a_named_benchmark_says_what_to_fetch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("suspicion", "embed", "priority"):
        assert program.main([name, "--results", str(tmp_path)]) == 2
        said = capsys.readouterr().out
        assert f"{name} cannot run: no --data DIR given" in said
        assert "www.cs.toronto.edu/~kriz/cifar.html" in said
        assert "huggingface.co/timm/mobilenetv2_100.ra_in1k" in said
    assert list(tmp_path.iterdir()) == []


def test_without_weights_it_says_so(digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["embed", "--data", str(digits), "--weights", str(tmp_path / "none.pth")]
    assert program.main([*arguments, "--results", str(tmp_path)]) == 2
    assert "none.pth is not there: it is a checkpoint of timm's mobilenetv2_100" in capsys.readouterr().out


class Stub:
    """A benchmark that has its data, or not."""

    __doc__ = "A benchmark."

    def __init__(self, there: bool) -> None:
        self.there, self.ran = there, 0

    def add_arguments(self, parser: object) -> None:
        pass

    def run(self, options: object) -> dict[str, float]:
        if not self.there:
            raise Missing("fetch the thing from the place")
        self.ran += 1
        return {"figure": float("nan")}

    def sheets(self, figures: dict[str, float]) -> dict[str, Sheet]:
        return {"all": Sheet("all of it", ("what", "figure"), [("it", str(figures["figure"]))])}

    def plot(self, figures: dict[str, float], path: Path) -> None:
        path.touch()


def test_without_names_what_can_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    able, unable = Stub(True), Stub(False)
    monkeypatch.setattr(program, "BENCHMARKS", {"unable": unable, "able": able})
    assert program.main(["--results", str(tmp_path)]) == 0
    assert "unable skipped: fetch the thing" in capsys.readouterr().out
    assert able.ran == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["able.json", "able.png"]
    assert program.main(["able", "unable", "--results", str(tmp_path)]) == 2
    assert able.ran == 2
    monkeypatch.setattr(program, "BENCHMARKS", {"unable": unable})
    assert program.main(["--results", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        program.main(["other"])


def test_results_hold_the_machine_and_neither_names_nor_paths(tmp_path: Path) -> None:
    path = save("it", {"a": 1.23456789, "b": [float("inf")], 3: {"c": True}}, tmp_path)
    found = json.loads(path.read_text())
    assert {key: found[key] for key in ("a", "b", "3")} == {"a": 1.2346, "b": [None], "3": {"c": True}}
    assert set(found["machine"]) == {"processor", "cores", "memory_gib", "python", "libraries", "date"}
    assert "/" not in json.dumps(machine()["libraries"])
    assert re.fullmatch(
        r"Measured on \d{4}-\d\d-\d\d: \d+ cores \(.*\), .*timm [\d.]+.*\.", describe(found["machine"])
    )
    assert describe({"cores": 2, "processor": "8086"}) == "Measured: 2 cores (8086)."
    assert load("other", tmp_path) is None


def test_targets() -> None:
    assert at_least("x", 0.5, 0.5).met
    assert not at_least("x", float("nan"), 0.5).met
    assert not at_most("x", 0.6, 0.5).met
    sheet = target_sheet("it", [at_most("x", 12.34, 10, "{:.1f}")])
    assert sheet.rows == [("x", "12.3", "≤ 10.0", "missed")]
    assert sheet.markdown().splitlines()[1:] == [
        "| --- | ---: | ---: | ---: |",
        "| x | 12.3 | ≤ 10.0 | missed |",
    ]
