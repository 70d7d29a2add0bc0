"""What the server needs of segmentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.segmentation.drawing import draw, in_words
from backend.segmentation.network import Drawn
from tests.backend.labelstudio.mask_projects import blobs, mask_kind


def test_the_server_needs_no_torch(repository: Path) -> None:
    code = """
import sys
import backend.app, backend.predict, backend.segmentation.serving
print(sorted({"torch", "timm", "cleanlab", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repository)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_prediction_has_the_size_of_its_image_and_says_how_sure_it_is_of_each_class() -> None:
    kind = mask_kind()
    truth = blobs((48, 64), 3)
    sure = np.array([0.9, 0.8, 0.6])[truth]
    probs = np.stack([np.where(truth == number, sure, (1 - sure) / 2) for number in range(3)]).astype(
        np.float32
    )
    result = draw(kind, Drawn.of(probs, (480, 640)))
    label = kind.target(result)
    assert label is not None
    assert label.size == (480, 640)
    large = np.kron(truth, np.ones((10, 10), dtype=np.uint8))
    assert (kind.mask(label) == large).mean() > 0.95
    assert {region["score"] for region in result} == {0.8, 0.6}


def test_a_class_that_is_predicted_between_pixels_alone_has_a_score_all_the_same() -> None:
    kind = mask_kind()
    probs = np.zeros((3, 2, 2), dtype=np.float32)
    probs[0, :, 0], probs[1, :, 1] = 0.55, 0.55
    probs[2] = 0.45
    result = draw(kind, Drawn.of(probs, (20, 20)))
    assert all(0 <= region["score"] <= 1 for region in result)


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ((0.5, 0.1, 0.4), "dog 40 %, cat 10 %"),
        ((0.99, 0.01, 0.0), "cat 1 %"),
        ((1.0, 0.0, 0.0), "background 100 %"),
        ((0.998, 0.002, 0.0), "background 100 %"),
    ],
)
def test_a_mask_in_words(shares: tuple[float, ...], text: str) -> None:
    assert in_words(("background", "cat", "dog"), shares) == text
