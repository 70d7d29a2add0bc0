"""A power cut tears small files: each costs only that it is made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.segmentation.labels import MaskFiles
from backend.segmentation.network import Drawn, DrawnMasks
from tests.backend.labelstudio.mask_projects import blobs, mask_kind

KEY = "0123456789abcdef"


@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_torn_mask_is_decoded_again(tmp_path: Path, left: int) -> None:
    kind, truth = mask_kind(), blobs((48, 64), 3)
    label = kind.target(kind.result(truth, 1))
    assert label is not None
    files = MaskFiles(tmp_path, kind)
    assert np.array_equal(files.decode(label, KEY, (48, 64)), truth)
    [path] = files.folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert np.array_equal(files.mask(label, KEY, lambda: (48, 64)), truth)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_torn_drawing_is_not_there(tmp_path: Path, left: int) -> None:
    masks = DrawnMasks(tmp_path, "unet-1")
    drawn = Drawn(blobs((48, 64), 3), np.array([0.5, 0.25, 1], dtype=np.float32))
    masks.put(KEY, drawn)
    again = masks.get(KEY)
    assert again is not None
    assert np.array_equal(again.mask, drawn.mask)
    assert np.array_equal(again.scores, drawn.scores)
    [path] = masks.folder.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    assert masks.get(KEY) is None
    assert not masks.has(KEY)
