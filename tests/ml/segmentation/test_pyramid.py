"""Features of pixels: where they are, how they are kept, and that they are the network's."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from ml.embedders import WeightsUnavailable, hub
from ml.segmentation import store
from ml.segmentation.features import PixelFeatures, make_pixel_features
from ml.segmentation.pyramid import Level, Pyramid
from ml.segmentation.store import PyramidStore

MODEL = "test_efficientnet"
KEY = "0123456789abcdef"


def checkpoint(folder: Path, model: str, seed: int = 0) -> str:
    torch.manual_seed(seed)
    path = folder / f"{model}-{seed}.pth"
    torch.save(timm.create_model(model, pretrained=False).state_dict(), path)
    return f"timm:{model}@{path}"


def picture(width: int = 96, height: int = 64) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    shades = np.stack([x * 255 / width, y * 255 / height, 127 + 100 * np.sin(x / 5) * np.cos(y / 7)], axis=2)
    return Image.fromarray(shades.astype(np.uint8))


@pytest.fixture(params=["pixels", MODEL, "test_vit"])
def features(request: pytest.FixtureRequest, tmp_path: Path) -> PixelFeatures:
    name = request.param if request.param == "pixels" else checkpoint(tmp_path, request.param)
    return make_pixel_features(name, side=128, precision="fp32")


def test_levels_keep_the_images_shape_and_come_back_from_bytes(features: PixelFeatures) -> None:
    pyramid = features.extract(picture(), (640, 960))
    assert pyramid.size == (640, 960)
    assert all(level.values.shape[0] <= level.values.shape[1] for level in pyramid.levels)
    again = Pyramid.from_bytes(pyramid.to_bytes())
    assert again.size == pyramid.size
    for one, other in zip(pyramid.levels, again.levels, strict=True):
        for name in ("values", "low", "step", "place"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


def test_the_same_image_has_the_same_features_at_any_size(features: PixelFeatures) -> None:
    large = picture(960, 640)
    one, other = (features.extract(image, (640, 960)) for image in (large, large.resize((480, 320))))
    y, x = np.random.default_rng(0).uniform(size=(2, 200))
    near = np.abs(one.at(y, x) - other.at(y, x)).mean(axis=0)
    spread = one.at(y, x).std(axis=0)
    of_the_whole = np.ptp(one.at(y, x), axis=0) == 0
    assert (near / (spread + 1e-3))[~of_the_whole].mean() < 0.25
    assert near[of_the_whole].max(initial=0) < 0.02


@pytest.mark.parametrize("data", [b"", b"none", Pyramid((1, 1), ()).to_bytes()])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="features of an image"):
        Pyramid.from_bytes(data)


def level(h: int, w: int, place: object) -> Level:
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return Level.quantised(np.stack([y, x, y * 0], axis=2), np.asarray(place))


def test_points_are_interpolated_between_centres() -> None:
    even = level(5, 9, [[0.1, 0.2], [0.5 / 9, 1 / 9]])
    found = even.at(np.array([0.1, 0.5, 0.6, 1.0]), np.array([0.0, 0.5, 0.5 + 1 / 18, 1.0]))
    assert np.allclose(found[:, 0], [0, 2, 2.5, 4], atol=0.02)
    assert np.allclose(found[:, 1], [0, 4, 4.5, 8], atol=0.02)
    assert np.allclose(found[:, 2], 0)


@pytest.mark.parametrize("place", [[[0.1, 0.2], [0.5 / 9, 1 / 9]], [[0.02, 0.23], [0.01, 0.13]]])
def test_resampling_is_interpolation_of_every_pixel(place: list[list[float]]) -> None:
    one = level(5, 9, place)
    y, x = ((np.arange(n) + 0.5) / n for n in (12, 30))
    whole = np.einsum("ah,hwc,bw->abc", one.resampling(12, 0), one.features(), one.resampling(30, 1))
    points = one.at(np.repeat(y, 30), np.tile(x, 12)).reshape(12, 30, 3)
    assert np.allclose(whole, points, atol=1e-4)
    assert np.allclose(one.resampling(12, 0).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("model", "shift"), [("resnet18", 0.0), ("convnext_atto", 0.5), ("tf_mobilenetv3_small_minimal_100", 1.0)]
)
def test_where_a_cell_is_follows_from_how_the_network_pads(tmp_path: Path, model: str, shift: float) -> None:
    made = make_pixel_features(checkpoint(tmp_path, model), side=64)
    first = made.extract(picture(64, 64)).levels[1]
    assert first.place[0] == pytest.approx([(0.5 + 3 * shift) / 64, 4 / 64])


def test_the_stages_are_those_of_timm(tmp_path: Path) -> None:
    name = checkpoint(tmp_path, "resnet18")
    pyramid = make_pixel_features(name, side=128, precision="fp32").extract(picture(128, 64))
    network = timm.create_model("resnet18", features_only=True, pretrained=False).eval()
    network.load_state_dict(torch.load(name.partition("@")[2], weights_only=True), strict=False)
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    pixels = torch.from_numpy(np.array(picture(128, 64))).permute(2, 0, 1) / 255.0
    with torch.inference_mode():
        stages = network(((pixels - mean) / std)[None])[1:]
    for one, stage in zip(pyramid.levels[1:4], stages[:3], strict=True):
        expected = stage[0].permute(1, 2, 0).numpy()
        if expected.shape[2] > one.channels:  # projected
            continue
        assert np.abs(one.features() - expected).max() <= 0.6 * one.step.max() + 1e-4


def test_wide_stages_are_projected(tmp_path: Path) -> None:
    pyramid = make_pixel_features(checkpoint(tmp_path, "resnet50"), side=64).extract(picture(64, 48))
    assert pyramid.channels == (3, 64, 128, 256, 384)


def test_the_fingerprint_follows_weights_size_and_precision(tmp_path: Path) -> None:
    name, other = checkpoint(tmp_path, MODEL), checkpoint(tmp_path, MODEL, seed=1)
    prints = {
        make_pixel_features(name, side=128, precision="fp32").fingerprint,
        make_pixel_features(name, side=160, precision="fp32").fingerprint,
        make_pixel_features(other, side=128, precision="fp32").fingerprint,
        make_pixel_features("pixels").fingerprint,
        make_pixel_features("pixels", side=128).fingerprint,
    }
    assert len(prints) == 5


def test_names_fall_back_as_those_of_embedders_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(model: str, config: object) -> None:
        raise WeightsUnavailable("the hub is out of reach")

    monkeypatch.setattr("ml.embedders.timm_backbone.require_weights", refuse)
    monkeypatch.setattr(hub, "require_weights", refuse)
    with caplog.at_level(logging.WARNING):
        fallback = make_pixel_features("auto")
    assert (fallback.name, "FALLBACK" in caplog.text) == ("pixels", True)
    assert "out of reach" in (fallback.note or "")
    for name, allowed in (("auto", False), ("resnet18", True)):
        with pytest.raises(WeightsUnavailable, match="out of reach"):
            make_pixel_features(name, allow_fallback=allowed)
    with pytest.raises(ValueError, match="unknown"):
        make_pixel_features("resnet19")


def test_the_store_keeps_what_is_put_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = PyramidStore(tmp_path, "pixels-1")
    pyramid = make_pixel_features("pixels").extract(picture())
    assert not kept.has(KEY)
    assert kept.get(KEY) is None
    kept.put(KEY, pyramid)
    found = PyramidStore(tmp_path, "pixels-1").get(KEY)
    assert found is not None
    assert found.to_bytes() == pyramid.to_bytes()
    assert PyramidStore(tmp_path, "pixels-2").get(KEY) is None

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("ml.whole_files.os.replace", fail)
        with pytest.raises(OSError, match="no space"):
            kept.put("f" * 16, pyramid)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"{KEY}.pyramid"]

    next(tmp_path.rglob("*.pyramid")).write_bytes(pyramid.to_bytes()[:100])
    assert kept.get(KEY) is None
    assert "damaged" in caplog.text
    assert not kept.has(KEY)


def test_the_store_refuses_what_is_too_large_or_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = PyramidStore(tmp_path, "pixels-1")
    pyramid = make_pixel_features("pixels").extract(picture())
    monkeypatch.setattr(store, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="smaller side"):
        kept.put(KEY, pyramid)
    with pytest.raises(ValueError, match="key"):
        kept.get("../../etc")
    with pytest.raises(ValueError, match="folder"):
        PyramidStore(tmp_path, "../x")
