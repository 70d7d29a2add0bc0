"""The benchmark of UNet on a few drawn scenes, seconds instead of minutes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from benchmarks import segmentation_unet
from benchmarks.segmentation_unet import sheets
from tests.benchmarks.conftest import Bench
from tests.ml.segmentation.unet.shapes import scene
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]


def test_both_are_trained_for_the_same_time(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation_unet, "MODEL", "test_resnet")
    monkeypatch.setattr(segmentation_unet, "BATCH", 4)
    monkeypatch.setattr(segmentation_unet, "_PROBE", 1)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    files, masks = [], []
    for seed in range(16):
        image, mask = scene(seed)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=95)
        files.append(file.getvalue())
        masks.append(mask)
    np.savez(
        tmp_path / "camvid_320x240.npz",
        jpeg=np.frombuffer(b"".join(files), dtype=np.uint8),
        offset=np.cumsum([0, *map(len, files)]),
        masks=np.stack(masks),
        map5=np.array([255, 1, 0]),  # the ground is not labelled
        map5_names=np.array(["box", "disc"]),
        split=np.array(["train"] * 12 + ["val"] * 4),
    )
    figures = bench(
        "segmentation_unet", "--data", str(tmp_path), "--weights", str(tmp_path / "weights.pth"),
        "--unet-minutes", "0.08", "--unet-side", "64",
    )  # fmt: skip
    assert figures["classes"] == ["box", "disc"]
    assert (figures["train"], figures["val"]) == (12, 4)
    for way in ("lineup", "plain"):
        assert 0 < figures[way]["mean_dice"] <= 1
        assert figures[way]["mean_dice"] == max(one["mean_dice"] for one in figures[way]["history"])
    tables = sheets(figures)
    assert len(tables["worth"].rows) == 2
    assert tables["targets"].rows[0][0] == "mean Dice above the plain UNet's"
