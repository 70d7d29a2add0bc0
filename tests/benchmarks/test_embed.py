"""The benchmark of embedding on digits, with weights drawn at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from benchmarks.data import MODEL, SIDE, embed_files, load_pack
from benchmarks.embed import WAYS, one_by_one, plain_network, sheets, targets
from ml.embedders.timm_backbone import TimmEmbedder
from tests.benchmarks.conftest import Bench


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the network, at random."""
    torch.manual_seed(0)
    network = timm.create_model(MODEL, pretrained=False)
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def test_every_way_is_measured_and_half_precision_costs_little(
    bench: Bench, digits: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "cifar10n_20k.npz").symlink_to(digits / "cifar10n_20k.npz")
    reduced = ("--rounds", "1", "--count", "16", "--rows", "120", "--stored", "2000")
    figures = bench("embed", "--weights", str(weights), *reduced, "--data", str(tmp_path / "one"))
    assert set(figures["speed"]) == {"cifar10n_20k"}
    for one in figures["speed"].values():
        assert all(one[way]["images_per_s"] > 0 for way in WAYS)
        assert one["forward"]["of_reference"] == 1.0
    exact, half = (figures["quality"]["precisions"][name] for name in ("fp32", "auto"))
    assert figures["quality"]["rows"] == 120
    assert half["cosine_min"] > 0.98
    assert exact["probe_accuracy"] > 0.3
    assert abs(exact["probe_accuracy"] - half["probe_accuracy"]) < 0.05
    assert figures["store"]["reads"] == 20
    assert len(targets(figures)) == 3 + 3 + 2
    assert {"targets", "speed", "precision", "store"} == set(sheets(figures))


def test_the_vectors_that_are_timed_are_those_of_the_plain_network(digits: Path, weights: Path) -> None:
    files = load_pack("cifar10n_20k", digits).images(12)
    streamed = embed_files(
        TimmEmbedder(MODEL, checkpoint=str(weights), image_size=SIDE, precision="fp32"), files, "digits"
    )
    network, transform = plain_network(str(weights))
    made: list[np.ndarray] = []
    network.register_forward_hook(lambda _, __, output: made.append(output.numpy()[0]))
    assert one_by_one(network, transform, files) == 12
    plain = np.stack(made)
    cosine = (streamed * plain).sum(axis=1) / np.linalg.norm(streamed, axis=1) / np.linalg.norm(plain, axis=1)
    assert cosine.min() > 0.99
