"""Pieces too small to be meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ml.masks.specks import least_piece, without_specks


def test_small_pieces_become_what_is_left_of_them() -> None:
    mask = np.zeros((8, 10), dtype=np.uint8)
    mask[1:7, 1:9] = 1
    mask[3, 4:6] = 2  # in a thing
    mask[7, 9] = 2  # in the corner
    wanted = np.where(mask == 2, [[1 if column < 9 else 0 for column in range(10)]], mask)
    assert np.array_equal(without_specks(mask, 3), wanted)
    assert without_specks(mask, 1) is mask
    assert mask[3, 4] == 2


def test_pieces_that_touch_at_a_corner_are_two() -> None:
    mask = np.zeros((6, 6), dtype=np.uint8)
    mask[1:3, 1:3] = mask[3:5, 3:5] = 1
    assert not without_specks(mask, 5).any()
    assert np.array_equal(without_specks(mask, 4), mask)


@pytest.mark.parametrize(("mask", "wanted"), [
    ([[2, 0, 0, 0, 0]], [[0, 0, 0, 0, 0]]),
    ([[2], [1], [1], [1]], [[1], [1], [1], [1]]),
    ([[1, 2]], [[2, 2]]),
    ([[1]], [[1]]),
])  # fmt: skip
def test_the_first_corner_takes_what_follows(mask: list[list[int]], wanted: list[list[int]]) -> None:
    assert without_specks(np.array(mask, dtype=np.uint8), 3).tolist() == wanted


def test_what_a_speck_is_grows_with_the_image() -> None:
    assert least_piece((10, 10)) == 16
    assert least_piece((2000, 4000)) == 400


@given(st.integers(0, 100_000), st.integers(1, 12), st.integers(1, 12), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_pieces_are_those_of_scipy(seed: int, height: int, width: int, least: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    done = without_specks(mask, least)
    for number in range(3):
        pieces, count = ndimage.label(mask == number)
        for piece in range(1, count + 1):
            there = done[pieces == piece]
            assert len(set(there.tolist())) == 1
            if len(there) >= least:
                assert there[0] == number
