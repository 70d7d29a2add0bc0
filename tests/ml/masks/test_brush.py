"""Label Studio's brush code against the SDK's own reader and writer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle, mask2rle

from ml.masks import MaskError
from ml.masks.brush import decode_brush, encode_brush

SIZES = (3, 4, 8, 16)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
# few values, so that there are runs
alphas = shapes.flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 255, 255, 77]))
)


def bits_of(number: int, width: int) -> str:
    return f"{number:0{width}b}"


def code_of(bits: str) -> list[int]:
    """Bits as bytes, filled with zeros."""
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def header(values: int, sizes: Sequence[int] = SIZES, word: int = 8) -> str:
    return bits_of(values, 32) + bits_of(word - 1, 5) + "".join(bits_of(size - 1, 4) for size in sizes)


@given(alphas)
@settings(max_examples=60, deadline=None)
def test_it_is_the_sdks_code_to_the_byte_and_comes_back_exactly(alpha: np.ndarray) -> None:
    code = encode_brush(alpha)
    assert code == mask2rle(alpha)
    assert np.array_equal(decode_brush(code, alpha.shape), alpha)
    assert np.array_equal(decode_rle(code).reshape(*alpha.shape, 4)[:, :, 3], alpha)


@st.composite
def codes(draw: st.DrawFn) -> tuple[list[int], int]:
    """What any writer may write: runs and groups of single values, of any sizes; and the number of pixels."""
    sizes = draw(st.lists(st.integers(1, 16), min_size=4, max_size=4))
    bits, values = "", 0
    for _ in range(draw(st.integers(1, 12))):
        kind, run = draw(st.integers(0, 3)), draw(st.booleans())
        count = draw(st.integers(1, min(1 << sizes[kind], 300)))
        numbers = draw(st.binary(min_size=1 if run else count, max_size=1 if run else count))
        bits += f"{run:d}" + bits_of(kind, 2) + bits_of(count - 1, sizes[kind])
        bits += "".join(bits_of(number, 8) for number in numbers)
        values += count
    while values % 4:
        bits += "0" + bits_of(0, 2) + bits_of(0, sizes[0]) + bits_of(9, 8)
        values += 1
    return code_of(header(values, sizes) + bits), values // 4


@given(codes())
@settings(max_examples=60, deadline=None)
def test_any_writers_records_are_read_as_the_sdk_reads_them(made: tuple[list[int], int]) -> None:
    code, pixels = made
    expected = decode_rle(code).reshape(1, pixels, 4)[:, :, 3]
    assert np.array_equal(decode_brush(code, (1, pixels)), expected)


def test_runs_of_any_length() -> None:
    """Those around a power of two, and beyond the longest a record can hold."""
    for length in (1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 32769, 100_000):
        mask = np.zeros((1, 2 * length + 1), dtype=bool)
        mask[0, length:-1] = True
        code = encode_brush(mask)
        assert code == mask2rle(mask.astype(np.uint8) * 255)
        assert np.array_equal(decode_brush(code, mask.shape) == 255, mask)


def test_codes_longer_than_what_is_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (50, 60)).astype(np.uint8)
    code = encode_brush(mask)
    for block in (7, 64, 1000):
        monkeypatch.setattr("ml.masks.brush._BLOCK", block)
        assert np.array_equal(decode_brush(code, mask.shape), mask)


GOOD = encode_brush(np.eye(6, dtype=bool))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ([], "ends in its header"),
        (GOOD[:5], "ends in its header"),
        (GOOD[:20], r"ends after \d+ of 144 values"),
        (GOOD[:7], "ends after 0 of 144 values"),
        ([*GOOD[:3], 148, *GOOD[4:]], "of 37 pixels, but the image has 6 x 6 = 36"),
        ([*GOOD[:4], 0x18, *GOOD[5:]], "values of 4 bits"),
        (
            code_of(header(144) + "1" + "11" + bits_of(144, 16) + bits_of(0, 8)),
            "goes on beyond its 144 values",
        ),
        ([300, *GOOD], "from 0 to 255"),
        (["0", *GOOD], "from 0 to 255"),
        ([0.5, *GOOD], "from 0 to 255"),
        ("0000", "not str"),
        (None, "not NoneType"),
    ],
)
def test_a_broken_code_is_named(code: list[int], said: str) -> None:
    with pytest.raises(MaskError, match=said):
        decode_brush(code, (6, 6))


@given(st.lists(st.integers(0, 255), max_size=60))
@settings(max_examples=100, deadline=None)
def test_noise_is_an_error_or_a_mask_and_nothing_else(code: list[int]) -> None:
    framed = [*code_of(header(144) + "000"), *code]
    with contextlib.suppress(MaskError):
        assert decode_brush(framed, (6, 6)).shape == (6, 6)


@pytest.mark.parametrize(
    "mask", [np.zeros((0, 4), bool), np.zeros(4, bool), np.zeros((2, 2)), np.zeros((2, 2, 1), np.uint8)]
)
def test_what_is_no_mask_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(MaskError, match=r"\(H, W\)"):
        encode_brush(mask)
