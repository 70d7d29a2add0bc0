"""The benchmark of the pixel probe on a handful of small scenes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from benchmarks import segmentation_probe
from benchmarks.segmentation_probe import frequencies, sheets
from ml.segmentation.sampling import Sample
from tests.benchmarks.conftest import Bench

MODEL = "test_efficientnet"


def test_the_last_stage_counts_a_class_as_often_as_it_is() -> None:
    drawn, whole = np.array([[30.0, 30, 0], [30, 10, 0]]), np.array([[0.9, 0.1, 0], [0.8, 0.2, 0]])
    y = np.repeat([0, 1], [60, 40])
    weight = frequencies(Sample(np.zeros((100, 2), np.float32), y, y, drawn, whole, (1,)))
    assert np.bincount(y, weights=weight[y]) / 100 == pytest.approx([0.85, 0.15])
    assert weight[2] == 0


def test_the_probe_is_measured_beside_the_last_stage(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((14, 32, 48), dtype=np.uint8)
    files = []
    for mask in masks:
        top, left = rng.integers(0, 16), rng.integers(0, 24)
        mask[top : top + 16, left : left + 20] = 1
        mask[:3] = 2
        shades = rng.normal(90 + 100 * (mask == 1)[..., None], 20, (32, 48, 3)).clip(0, 255)
        packed = io.BytesIO()
        Image.fromarray(shades.astype(np.uint8)).save(packed, "JPEG", quality=95)
        files.append(packed.getvalue())
    np.savez(
        tmp_path / "camvid_320x240.npz",
        jpeg=np.frombuffer(b"".join(files), dtype=np.uint8),
        offset=np.cumsum([0, *map(len, files)]),
        masks=masks,
        map5=np.array([0, 1, 255]),
        map5_names=np.array(["ground", "thing"]),
        split=np.array(["train"] * 10 + ["val"] * 3 + ["test"]),
    )
    weights = tmp_path / "weights.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model(MODEL, pretrained=False).state_dict(), weights)
    monkeypatch.setattr(segmentation_probe, "MODEL", MODEL)
    monkeypatch.setattr(segmentation_probe, "CACHED", 8)
    figures = bench(
        "segmentation_probe", "--data", str(tmp_path), "--weights", str(weights), "--cache", str(tmp_path),
        "--probe-counts", "6", "20", "--probe-side", "64",
    )  # fmt: skip
    assert list(figures["by_count"]) == ["6", "10"]
    most = figures["by_count"]["10"]
    assert most["probe"]["mean_dice"] > most["last"]["mean_dice"] >= most["majority"]["mean_dice"]
    assert most["majority"]["dice"][1] == 0
    assert most["probe"]["mean_dice"] > 0.9
    assert figures["out_of_sample"]["mean_dice"] > 0.85
    assert figures["kb"] > 0
    assert {"targets", "masks", "classes", "costs"} == set(sheets(figures))
