"""COCO's run-length code against pycocotools."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from ml.masks import MaskError
from ml.masks.coco_rle import decode_coco, encode_coco

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
masks = shapes.flatmap(lambda shape: arrays(np.bool_, shape))


def oracle(mask: np.ndarray) -> dict[str, Any]:
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": code["size"], "counts": code["counts"].decode()}


@given(masks)
@settings(max_examples=200, deadline=None)
def test_it_is_pycocotools_code_and_comes_back_exactly(mask: np.ndarray) -> None:
    code = encode_coco(mask)
    assert code == oracle(mask)
    assert np.array_equal(decode_coco(code, mask.shape), mask)
    assert np.array_equal(decode_coco(code | {"counts": code["counts"].encode()}, mask.shape), mask)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.booleans())
@settings(max_examples=100, deadline=None)
def test_long_runs_and_lists_of_lengths(lengths: list[int], filled: bool) -> None:
    mask = np.repeat(np.arange(len(lengths)) % 2 == int(filled), lengths)[None]
    assert encode_coco(mask) == oracle(mask)
    counts = [0, *lengths] if mask[0, 0] else lengths
    assert np.array_equal(decode_coco({"size": [1, mask.size], "counts": counts}, mask.shape), mask)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ({}, "size None"),
        ({"size": [3, 4], "counts": "0<"}, r"size \[3, 4\]"),
        ({"size": [4, 3], "counts": None}, "text or a list"),
        ({"size": [4, 3], "counts": ["1"]}, "text or a list"),
        ({"size": [4, 3], "counts": [4, 7]}, "of 11 pixels"),
        ({"size": [4, 3], "counts": [15, -3]}, "of 12 pixels"),
        ({"size": [4, 3], "counts": ""}, "of 0 pixels"),
        ({"size": [4, 3], "counts": "R"}, "cut off"),
        ({"size": [4, 3], "counts": "~~"}, "broken"),
        ({"size": [4, 3], "counts": "o" * 20 + "0"}, "broken"),
    ],
)
def test_a_broken_code_is_named(code: dict[str, Any], said: str) -> None:
    with pytest.raises(MaskError, match=said):
        decode_coco(code, (4, 3))


@given(st.binary(max_size=30))
@settings(max_examples=100, deadline=None)
def test_noise_is_an_error_or_a_mask_and_nothing_else(text: bytes) -> None:
    with contextlib.suppress(MaskError):
        assert decode_coco({"size": [4, 3], "counts": text}, (4, 3)).shape == (4, 3)
