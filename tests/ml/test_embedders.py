from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from ml.embedders import ALIASES, WeightsNotAllowed, WeightsUnavailable, hub, make_embedder
from ml.embedders.licences import COMMERCIAL
from ml.embedders.timm_backbone import TimmEmbedder
from tests.embedding import embed

MODEL = "test_efficientnet"


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without weights and without a network."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)


def save_checkpoint(path: Path, seed: int, n_classes: int = 1000, model: str = MODEL) -> Path:
    torch.manual_seed(seed)
    state = timm.create_model(model, pretrained=False, num_classes=n_classes).state_dict()
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.fixture
def images() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (50, 70, 3), dtype=np.uint8)) for _ in range(5)]


@pytest.mark.parametrize(
    "name", ["", "resnet19", "timm", "timm:", "pixels:3", "auto:x", "b0:x", "timm:no_such_model"]
)
def test_names_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"embedder|timm"):
        make_embedder(name)


def test_pixels_need_nothing() -> None:
    embedder = make_embedder("pixels")
    assert embedder.name == "pixels"
    assert embedder.note is None


def test_auto_falls_back_to_pixels_and_says_so(unreachable: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        embedder = make_embedder("auto")
    assert embedder.name == "pixels"
    assert embedder.note is not None
    assert "network is unreachable" in embedder.note
    assert "FALLBACK" in caplog.text


def test_falling_back_can_be_forbidden(unreachable: None) -> None:
    with pytest.raises(WeightsUnavailable, match="hub"):
        make_embedder("auto", allow_fallback=False)


def test_a_backbone_asked_for_by_name_never_falls_back(unreachable: None) -> None:
    with pytest.raises(WeightsUnavailable, match="resnet18"):
        make_embedder("timm:resnet18")


def test_a_hub_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *a, **k: release.wait())
    monkeypatch.setattr(hub, "ANSWER_WITHIN", 0.05)
    config = SimpleNamespace(hf_hub_id="owner/model", hf_hub_filename=None, file=None)
    with pytest.raises(WeightsUnavailable, match="no answer within"):
        hub.require_weights("model", config)
    release.set()


def test_weights_in_the_cache_need_no_hub(unreachable: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: f"cached/{file}")
    hub.require_weights("model", SimpleNamespace(hf_hub_id="owner/model", hf_hub_filename=None, file=None))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_local_checkpoint(tmp_path: Path, images: list[Image.Image], suffix: str) -> None:
    path = save_checkpoint(tmp_path / f"weights{suffix}", seed=1, n_classes=7)
    embedder = make_embedder(f"timm:{MODEL}@{path}")
    X = embed(embedder, images)
    assert X.shape == (5, embedder.dim)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert np.allclose(X[3:], embed(embedder, images[3:]), atol=1e-4)
    assert embedder.weights["source"] == str(path)


def test_batches_change_nothing(tmp_path: Path, images: list[Image.Image]) -> None:
    path = str(save_checkpoint(tmp_path / "w.pth", seed=1))
    small, large = (TimmEmbedder(MODEL, checkpoint=path, batch_size=size) for size in (2, 64))
    assert np.allclose(embed(small, images), embed(large, images), atol=1e-4)


def test_the_fingerprint_follows_the_weights_not_the_file(tmp_path: Path) -> None:
    one = make_embedder(f"timm:{MODEL}@{save_checkpoint(tmp_path / 'a.pth', seed=1)}")
    same = make_embedder(f"timm:{MODEL}@{save_checkpoint(tmp_path / 'b.safetensors', seed=1)}")
    other = make_embedder(f"timm:{MODEL}@{save_checkpoint(tmp_path / 'c.pth', seed=2)}")
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint
    assert re.fullmatch(r"timm-[\w.]+-\d+-[\w-]+-[0-9a-f]{12}", one.fingerprint)


def test_the_fingerprint_follows_the_size_and_the_precision(tmp_path: Path) -> None:
    name = f"timm:{MODEL}@{save_checkpoint(tmp_path / 'a.pth', seed=1)}"
    plain = make_embedder(name, precision="fp32")
    assert "-fp32-" in plain.fingerprint
    assert make_embedder(name, precision="fp32", image_size=96).fingerprint != plain.fingerprint
    with pytest.raises(ValueError, match="precision"):
        make_embedder(name, precision="int1")


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_aliases_are_timm_weights_that_may_be_used_commercially(alias: str) -> None:
    config = timm.get_pretrained_cfg(ALIASES[alias])
    assert config is not None
    assert config.has_weights
    assert config.license in COMMERCIAL


def test_an_alias_is_the_model_it_stands_for(unreachable: None) -> None:
    with pytest.raises(WeightsUnavailable, match=r"efficientnet_b0\.ra_in1k"):
        make_embedder("b0")


@pytest.mark.parametrize(
    "model", ["convnextv2_atto.fcmae", "resnet18.fb_swsl_ig1b_ft_in1k", "dla60_res2net.in1k"]
)
def test_weights_not_for_commercial_use_are_refused_by_default(unreachable: None, model: str) -> None:
    with pytest.raises(WeightsNotAllowed, match="ALLOW_NONCOMMERCIAL=true"):
        make_embedder(f"timm:{model}")
    # allowed, it is only their absence that is in the way
    with pytest.raises(WeightsUnavailable):
        make_embedder(f"timm:{model}", allow_noncommercial=True)


def test_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    other = save_checkpoint(tmp_path / "other.pth", seed=1, model="test_vit")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights")
    for path, why in (
        (tmp_path / "none.pth", "no checkpoint"),
        (other, "is not one of"),
        (broken, "cannot be read"),
    ):
        with pytest.raises(WeightsUnavailable, match=why):
            make_embedder(f"timm:{MODEL}@{path}")
