"""The benchmark of masks on few rounds and few masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import masks
from benchmarks.masks import TOLERANCES, codec, shapes, sheets, targets
from tests.benchmarks.conftest import Bench


def test_both_codecs_and_all_tolerances_are_measured(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "SIZES", {"1080p": (108, 192)})
    rng = np.random.default_rng(0)
    scenes = np.stack([shapes((60, 80), rng, 3) for _ in range(2)])
    np.savez(
        tmp_path / "camvid_320x240.npz", masks=scenes, map5=np.arange(5), map5_names=np.array(list("abcde"))
    )
    figures = bench("masks", "--mask-rounds", "1", "--mask-count", "2", "--data", str(tmp_path))
    assert figures["codec"]["1080p"]["decode_times"] > 0
    for one in figures["polygons"].values():
        assert list(one) == [f"{tolerance:g}" for tolerance in TOLERANCES]
        assert one["0"]["changed"] == 0
        assert one["0"]["iou"] == 1
        assert one["1"]["iou"] > one["4"]["iou"] > 0.5
        assert one["0"]["points"] > one["1"]["points"] > one["4"]["points"]
    assert set(figures["polygons"]) == {"drawn shapes", "street scenes"}
    assert [one.met for one in targets(figures)[-2:]] == [True, True]
    assert {"targets", "codec", "polygons"} == set(sheets(figures))


def test_a_codec_that_errs_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "encode_brush", lambda mask: [0] * 9)
    with pytest.raises(RuntimeError, match="not the SDK's"):
        codec([np.eye(4, dtype=bool)], 1)
