"""Events, predictions and people at once, for a moment; the whole of it is `python -m benchmarks load`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.load import Load, measure_load
from demo.label_studio import LabelStudioServer


def test_nothing_is_refused_and_memory_is_bounded(label_studio: LabelStudioServer, tmp_path: Path) -> None:
    load = Load(seconds=8, rate=100, clients=20, tasks=16)
    found = measure_load(label_studio, tmp_path, load, images=200, labelled=60)
    assert found["webhook"]["count"] == found["events_counted"] == 800
    assert found["predict"]["count"] > 20
    assert found["webhook"]["errors"] == found["predict"]["errors"] == 0
    assert found["refreshing"] > 0.2
    assert found["server_peak_bytes"] < 500e6
    assert found["worker_peak_bytes"] < 1e9
