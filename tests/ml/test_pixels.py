from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ml.embedders.pixels import PixelsEmbedder
from ml.folds import stable_folds
from ml.heads.logistic import fit_logistic
from tests.embedding import embed


@pytest.fixture(scope="module")
def embedder() -> PixelsEmbedder:
    return PixelsEmbedder()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (32, 32), (640, 480)])
@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_any_image_gives_a_finite_vector(
    embedder: PixelsEmbedder, size: tuple[int, int], colour: str
) -> None:
    X = embed(embedder, [Image.new("RGB", size, colour)])
    assert X.shape == (1, embedder.dim)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()


def test_a_vector_does_not_depend_on_its_batch(embedder: PixelsEmbedder) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)) for _ in range(300)]
    together = embed(embedder, images)
    assert np.allclose(together[[0, 299]], embed(embedder, [images[0], images[299]]), atol=1e-6)


def test_colour_and_direction_are_told_apart(embedder: PixelsEmbedder) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::16] = stripes[:, 1::16] = 255
    images = [stripes, stripes.transpose(1, 0, 2), stripes * [1, 0, 0], stripes]
    X = embed(embedder, [Image.fromarray(image.astype(np.uint8)) for image in images])
    assert np.linalg.norm(X[0] - X[1]) > 0.3
    assert np.linalg.norm(X[0] - X[2]) > 0.3
    assert np.linalg.norm(X[0] - X[3]) == 0


def test_digits_are_learned_from_600_labels(embedder: PixelsEmbedder) -> None:
    digits = load_digits()
    images = [
        Image.fromarray((255 - 15 * image).astype(np.uint8)).resize((64, 64)).convert("RGB")
        for image in digits.images[:600]
    ]
    y = digits.target[:600]
    fit = fit_logistic(embed(embedder, images), y, 10, stable_folds([str(i) for i in range(600)], 5))
    assert (fit.oos_probs.argmax(axis=1) == y).mean() > 0.96
