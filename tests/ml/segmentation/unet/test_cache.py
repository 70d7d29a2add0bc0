"""Images and masks decoded once: at work size, upright, and what is broken is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.datasets import DatasetError
from ml.mask_sets import MaskReadOptions, read_masks
from ml.segmentation.sizes import shrink_mask
from ml.segmentation.unet.cache import cache_scenes
from tests.ml.mask_sets.made import make_set
from tests.ml.segmentation.unet.shapes import shapes


def test_small_images_stay_as_they_are(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 3})
    found = read_masks(folder)
    told: list[tuple[int, int]] = []
    cached = cache_scenes(
        found, found.scenes, 64, tmp_path / "images.bin", done=lambda done, total: told.append((done, total))
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    for row, scene in enumerate(found):
        assert scene.path is not None
        assert np.array_equal(cached.image(row), np.asarray(Image.open(scene.path)))
        assert np.array_equal(cached.mask(row), found.mask(scene))
    again = cache_scenes(found, found.scenes, 64, tmp_path / "images.bin")
    assert np.array_equal(again.data, cached.data)


def test_images_of_several_sizes_are_reduced_and_stand_upright(tmp_path: Path) -> None:
    found = read_masks(make_set(tmp_path / "set"))  # the second of each part lies on its side
    cached = cache_scenes(found, found.scenes, 28, tmp_path / "images.bin")
    assert cached.sizes.tolist() == [[20, 28], [20, 28], [21, 28], [20, 28], [20, 28]]
    for row, scene in enumerate(found):
        mask = found.mask(scene)
        assert np.array_equal(cached.mask(row), shrink_mask(mask, cached.mask(row).shape))
        assert cached.image(row).shape == (*cached.mask(row).shape, 3)


def test_masks_of_more_than_a_byte(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 2})
    (folder / "classes.txt").write_text("\n".join(f"class {number}" for number in range(300)))
    found = read_masks(folder, options=MaskReadOptions(ignore=None))
    cached = cache_scenes(found, found.scenes, 64, tmp_path / "images.bin")
    assert cached.mask(1).dtype == np.uint16
    assert np.array_equal(cached.mask(1), found.mask(found.scenes[1]))


def test_what_is_broken_is_named_or_left_out(tmp_path: Path) -> None:
    folder = shapes(tmp_path / "set", {"train": 4})
    (folder / "img" / "train" / "01.png").write_bytes(b"nothing")
    found = read_masks(folder)
    (folder / "labels" / "train" / "02.png").unlink()
    with pytest.raises(DatasetError, match=r"2 of 4 images cannot be used(.|\n)*labels/train/01\.png"):
        cache_scenes(found, found.scenes, 64, tmp_path / "images.bin")
    assert not (tmp_path / "images.bin").exists()
    cached = cache_scenes(found, found.scenes, 64, tmp_path / "images.bin", skip_problems=True)
    assert cached.rows.tolist() == [0, 3]
    assert len(cached.problems) == 2
    again = cache_scenes(found, found.scenes, 64, tmp_path / "images.bin", skip_problems=True)
    assert again.rows.tolist() == [0, 3]
    assert [one.where for one in again.problems] == [one.where for one in cached.problems]
