"""Lists of classes, and index masks as files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.png import palette, read_png, write_png

masks = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(1, 9), st.integers(1, 9)))
)


def file_of(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


@given(masks)
@settings(max_examples=50, deadline=None)
def test_files_hold_the_numbers(mask: np.ndarray) -> None:
    back = read_png(write_png(mask))
    assert np.array_equal(back, mask)
    assert back.dtype == mask.dtype


def test_other_writers_files_are_read() -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(read_png(file_of(Image.fromarray(numbers))), numbers)
    assert np.array_equal(read_png(file_of(Image.fromarray(numbers), "TIFF")), numbers)
    assert np.array_equal(read_png(file_of(Image.fromarray(numbers > 5))), numbers > 5)
    assert np.array_equal(
        read_png(file_of(Image.fromarray(numbers.astype(np.int32) * 3000), "TIFF")), numbers * 3000.0
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (file_of(Image.new("RGB", (2, 2))), "picture of colours"),
        (file_of(Image.new("RGB", (2, 2)), "JPEG"), "no PNG, TIFF or BMP"),
        (b"", "no PNG"),
        (file_of(Image.new("L", (50, 50)))[:60], "cannot be decoded"),
        (file_of(Image.fromarray(np.full((2, 2), 70_000, np.int32)), "TIFF"), "go to 65535"),
    ],
)
def test_what_holds_no_numbers_is_named(data: bytes, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        read_png(data)


def test_the_palette_has_256_colours() -> None:
    assert len(set(map(tuple, palette().tolist()))) == 256
    # Pascal VOC's aeroplane, bicycle and border
    assert palette()[[0, 1, 2, 255]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]]


def test_a_list_of_classes() -> None:
    drawn = MaskClasses.drawn_by(["cat", "background", "dog"])
    assert drawn.names == ("background", "cat", "dog")
    assert (drawn.implied, drawn.blank, drawn.drawn) == (True, 0, {"cat": 1, "dog": 2})
    full = MaskClasses(("sky", "road"), ignore=11)
    assert (full.implied, full.blank, full.drawn) == (False, 11, {"sky": 0, "road": 1})
    assert full.unknown(np.array([[0, 1, 11, 2, 2]])) == {2: 2}
    many = MaskClasses.drawn_by([f"class {number}" for number in range(300)])
    assert (many.dtype, many.ignore, many.blank) == (np.uint16, None, 0)
    assert MaskClasses(tuple(map(str, range(255)))).dtype == np.uint8
    assert MaskClasses(tuple(map(str, range(300))), ignore=None).dtype == np.uint16


@pytest.mark.parametrize(
    ("names", "ignore", "said"),
    [(("a", "a"), 255, "'a' twice"), (("a", ""), 255, "empty"), (("a", "b"), 1, "1 is the number of 'b'")],
)
def test_a_list_that_is_none(names: tuple[str, ...], ignore: int, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        MaskClasses(names, ignore)
