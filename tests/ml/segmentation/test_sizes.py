"""Between image size and work size: nothing shifts, and large images stay small in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from ml.segmentation import sizes
from ml.segmentation.sizes import enlarge_probs_to_mask, shrink_mask, work_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [((240, 320), (240, 320)), ((2448, 3264), (384, 512)), ((4000, 1), (512, 1)), ((513, 512), (512, 511))],
)
def test_the_longer_side_is_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert work_size(*size) == expected


def test_shrinking_takes_the_pixel_under_the_centre() -> None:
    mask = np.arange(36, dtype=np.uint8).reshape(6, 6)
    assert shrink_mask(mask, (2, 2)).tolist() == [[7, 10], [25, 28]]
    assert np.array_equal(shrink_mask(mask, (6, 6)), mask)
    assert np.array_equal(shrink_mask(np.kron(mask, np.ones((3, 4), np.uint8)), (6, 6)), mask)


def smooth(n_classes: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(size=(1, n_classes, 6, 8)).astype(np.float32))
    logits = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0]
    return torch.softmax(4 * logits, dim=0).numpy()


@pytest.mark.parametrize("shape", [(97, 131), (30, 40), (15, 90), (31, 41)])
def test_the_mask_is_that_of_torchs_bilinear_interpolation(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    probs = smooth(5, (30, 40))
    whole = torch.nn.functional.interpolate(torch.from_numpy(probs)[None], shape, mode="bilinear")[0].numpy()
    monkeypatch.setattr(sizes, "_BAND", 700)  # several bands, several pieces of one
    monkeypatch.setattr(sizes, "_VALUES", 300)
    mask = enlarge_probs_to_mask(probs, shape)
    best = np.sort(whole, axis=0)
    clear = best[-1] - best[-2] > 1e-5  # where two are as probable, rounding decides
    assert clear.mean() > 0.99
    assert np.array_equal(mask[clear], whole.argmax(axis=0)[clear])


def test_many_classes_have_numbers_that_hold_them() -> None:
    probs = np.zeros((300, 2, 2), dtype=np.float32)
    probs[299] = 1.0
    assert (enlarge_probs_to_mask(probs, (4, 4)) == 299).all()


def test_eight_megapixels_of_fifty_classes_stay_small() -> None:
    probs = smooth(50, (384, 512))
    tracemalloc.start()
    mask = enlarge_probs_to_mask(probs, (2448, 3264))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask.shape == (2448, 3264)
    assert peak < 150e6  # the mask is 8 MB, all probabilities would be 1.6 GB
