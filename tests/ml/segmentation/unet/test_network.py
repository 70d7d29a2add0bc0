"""The encoder has the weights it is given, and images of any size come back at their size."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

from ml.embedders import WeightsUnavailable
from ml.segmentation.unet.config import UNetBlock
from ml.segmentation.unet.network import build_unet, logits_of


def checkpoint(folder: Path, name: str) -> tuple[Path, torch.nn.Module]:
    """A checkpoint of a whole model of timm's, and the model."""
    network = timm.create_model(name, num_classes=7)
    torch.save(network.state_dict(), folder / f"{name}.pth")
    return folder / f"{name}.pth", network.eval()


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv2_050", "test_convnext"])
def test_the_encoder_sees_what_the_whole_network_saw(tmp_path: Path, name: str) -> None:
    path, whole = checkpoint(tmp_path, name)
    built = build_unet(UNetBlock(class_name=f"tu-{name}", weights=str(path)), 3)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found = built.network.eval().encoder.model(images)[-1]
        levels = whole.forward_intermediates(images, intermediates_only=True)
    assert any(found.shape == one.shape and torch.allclose(found, one, atol=1e-4) for one in levels)
    assert built.weights["source"] == str(path)
    assert not built.fresh
    assert built.head
    assert all(one.startswith(("decoder.", "segmentation_head.")) for one in built.head)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path, _ = checkpoint(tmp_path, "test_resnet")
    with pytest.raises(WeightsUnavailable, match="is not one of timm's mobilenetv2_050"):
        build_unet(UNetBlock(class_name="mobilenetv2_050", weights=str(path)), 3)
    with pytest.raises(WeightsUnavailable, match="there is no checkpoint"):
        build_unet(UNetBlock(class_name="test_resnet", weights="gone.pth"), 3)


def test_a_network_without_levels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test_vit has no five levels .*take resnet18"):
        build_unet(UNetBlock(class_name="test_vit", weights="scratch"), 3)
    with pytest.raises(ValueError, match="no model 'resnet180'"):
        build_unet(UNetBlock(class_name="resnet180", weights="scratch"), 3)


def test_without_a_hub_the_model_is_named_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def away(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", away)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    with pytest.raises(WeightsUnavailable, match=r"weights of resnet18\..*no route.*--weights PATH"):
        build_unet(UNetBlock(class_name="resnet18"), 3)


@pytest.mark.parametrize("size", [(32, 32), (48, 70), (1, 33)])
def test_any_size_comes_back(size: tuple[int, int]) -> None:
    built = build_unet(UNetBlock(class_name="test_resnet", weights="scratch"), 4)
    with torch.no_grad():
        assert logits_of(built.network.eval(), torch.randn(1, 3, *size)).shape == (1, 4, *size)
