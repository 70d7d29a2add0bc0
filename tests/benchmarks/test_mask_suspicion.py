"""The benchmark of suspicion on masks, on drawn scenes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from benchmarks import mask_suspicion
from benchmarks.mask_suspicion import sheets, targets
from ml.masks.damage import DAMAGES
from tests.benchmarks.conftest import Bench
from tests.ml.segmentation.unet.shapes import scene
from tests.ml.training.conftest import one_thread

__all__ = ["one_thread"]


def test_every_damage_is_measured_beside_the_soft_minimum(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_suspicion, "MODEL", "test_resnet")
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "weights.pth")
    files, masks = [], []
    for seed in range(44):
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
        map5=np.arange(3),
        map5_names=np.array(["background", "box", "disc"]),
        split=np.array(["train"] * 4 + ["test"] * 40),
    )
    figures = bench(
        "mask_suspicion", "--data", str(tmp_path), "--weights", str(tmp_path / "weights.pth"),
        "--damage-seeds", "0", "--damage-images", "36",
    )  # fmt: skip
    assert (figures["images"], figures["damaged"]) == (36, 5)
    (one,) = figures["runs"]
    assert one["wrong"] == 5
    assert set(one["kinds"]) == set(DAMAGES)
    assert one["ap"] > 0.5
    assert 0 <= one["iou"] <= 1
    assert one["kinds"]["swapped"]["auc"] > 0.8
    tables = sheets(figures)
    assert len(tables["kinds"].rows) == len(DAMAGES)
    assert [target.wanted for target in targets(figures)] == ["≥ 0.050", "≥ 0.500"]
