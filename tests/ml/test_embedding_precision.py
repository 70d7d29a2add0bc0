from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from ml.embedders.folding import fold_batchnorm
from ml.embedders.precision import Forward, half_type


def network(model: str) -> nn.Module:
    torch.manual_seed(0)
    made = timm.create_model(model, pretrained=False, num_classes=0).eval().requires_grad_(False)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
    return made


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", ["test_efficientnet", "test_resnet", "resnet10t"])
def test_folding_changes_nothing_but_the_speed(model: str, batch: torch.Tensor) -> None:
    before = network(model)
    after = fold_batchnorm(before, batch)
    assert any(isinstance(module, nn.BatchNorm2d) for module in before.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in after.modules())
    with torch.inference_mode():
        np.testing.assert_allclose(after(batch), before(batch), rtol=1e-3, atol=1e-4)


def test_a_network_without_normalisations_is_left_alone() -> None:
    before = network("test_vit")
    assert fold_batchnorm(before, torch.zeros(1, 3, 160, 160)) is before


class Shared(nn.Module):
    """The convolution's output goes elsewhere too, so its normalisation cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.bn.running_var.fill_(9.0)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x + self.bn(x)


def test_a_fold_that_would_be_wrong_is_not_made(batch: torch.Tensor) -> None:
    before = Shared().eval()
    assert fold_batchnorm(before, batch) is before


def test_only_the_first_stage_stays_in_full_precision(batch: torch.Tensor) -> None:
    made = network("test_efficientnet")
    kinds: dict[str, torch.dtype] = {}
    for name in ("conv_stem", "blocks.0", "blocks.1", "blocks.2"):
        made.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: kinds.__setitem__(name, output.dtype)
        )
    compute = Forward(made, torch.bfloat16)
    vectors = compute(batch)
    assert compute.precision == "bf16-stem32"
    assert vectors.dtype == torch.float32
    assert kinds["conv_stem"] == kinds["blocks.0"] == torch.float32
    assert kinds["blocks.1"] == kinds["blocks.2"] == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
    exact = Forward(network("test_efficientnet"), None)(batch)
    assert torch.nn.functional.cosine_similarity(vectors, exact).min() > 0.99


def test_a_transformer_has_no_first_stage() -> None:
    compute = Forward(network("test_vit"), torch.bfloat16)
    assert compute.precision == "bf16"
    assert compute(torch.zeros(1, 3, 160, 160)).dtype == torch.float32


def test_half_precision_needs_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True}, None),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert half_type("cpu") is expected
