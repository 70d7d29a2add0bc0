"""Crops: image and mask move alike, what is outside is not labelled, chance hangs on the seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ml.mask_sets import read_masks
from ml.segmentation.unet.cache import CachedScenes, cache_scenes
from ml.segmentation.unet.changes import NOT_LABELLED, ChangedScenes, SceneChange, crop_shape
from ml.segmentation.unet.config import MaskTransform
from tests.ml.segmentation.unet.shapes import scene, shapes

STILL = {"color_jitter": False, "hflip": False, "scale": False}


def telling(mask: np.ndarray) -> np.ndarray:
    """Return an image whose pixels say what their mask says."""
    return np.repeat(40 + 80 * mask[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale", [False, (0.5, 2.0), (2.0, 3.0)])
def test_image_and_mask_are_changed_alike(seed: int, scale: object) -> None:
    _, mask = scene(seed)
    config = MaskTransform.model_validate({"color_jitter": False, "hflip": 0.5, "vflip": 0.5, "scale": scale})
    torch.manual_seed(seed)
    pixels, classes = SceneChange(config, (64, 64), None)(telling(mask), mask)
    assert pixels.shape == (3, 64, 64)
    assert classes.shape == (64, 64)
    said = ((pixels[0].float() - 40) / 80).round()
    inside = classes != NOT_LABELLED
    # between two classes a resized pixel is neither
    assert (said[inside] == classes[inside]).float().mean() > (0.999 if not scale else 0.93)
    assert (pixels[:, ~inside] == 127).all()


def test_without_any_change_a_scene_comes_out_as_it_is() -> None:
    image, mask = scene(1)
    pixels, classes = SceneChange(MaskTransform.model_validate(STILL), (48, 64), None)(image, mask)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), image)
    assert np.array_equal(classes.numpy(), mask)


def test_colours_change_and_the_mask_does_not() -> None:
    image, mask = scene(1)
    config = MaskTransform.model_validate(STILL | {"color_jitter": {"brightness": 0.5, "hue": 0.2, "p": 1.0}})
    pixels, classes = SceneChange(config, (48, 64), None)(image, mask)
    assert not np.array_equal(pixels.permute(1, 2, 0).numpy(), image)
    assert np.array_equal(classes.numpy(), mask)


def test_pixels_that_nobody_labelled_stay_so() -> None:
    image, mask = scene(1)
    mask[:10] = 255
    config = MaskTransform.model_validate(STILL)
    _, classes = SceneChange(config, (48, 64), 255)(image, mask)
    assert (classes[:10] == NOT_LABELLED).all()
    assert (classes[10:] >= 0).all()


def test_more_classes_than_a_byte_holds() -> None:
    image, mask = scene(1)
    wide = mask.astype(np.uint16) * 300
    _, classes = SceneChange(MaskTransform.model_validate(STILL), (48, 64), 65_535)(image, wide)
    assert sorted(classes.unique().tolist()) == [0, 300, 600]


def test_crops_are_as_large_as_the_largest_image_up_to_whole_strides() -> None:
    sizes = np.array([[48, 64], [70, 50]])
    assert crop_shape(MaskTransform(), sizes) == (96, 64)
    assert crop_shape(MaskTransform.model_validate({"crop": [40, 30]}), sizes) == (64, 32)


@pytest.fixture
def cached(tmp_path: Path) -> CachedScenes:
    found = read_masks(shapes(tmp_path / "set", {"train": 3}))
    return cache_scenes(found, found.scenes, 64, tmp_path / "images.bin")


def test_a_crop_hangs_on_its_seed_alone(cached: CachedScenes) -> None:
    made = ChangedScenes(cached, SceneChange(MaskTransform(), (64, 64), None))
    images, classes = made.__getitems__([(0, 5), (1, 6), (2, 7)])
    again, alike = made.__getitems__([(2, 7), (0, 5)])
    assert torch.equal(images[[2, 0]], again)
    assert torch.equal(classes[[2, 0]], alike)
    other, _ = made.__getitems__([(0, 8)])
    assert not torch.equal(other[0], images[0])
