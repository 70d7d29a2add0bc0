"""Regions of Label Studio and index masks, there and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import mask2rle
from label_studio_sdk.label_interface import LabelInterface

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.regions import brush_regions, label_of, paint, polygon_regions, size_of

CLASSES = MaskClasses(("background", "cat", "dog"))
CONFIG = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <PolygonLabels name="polygon" toName="image"><Label value="cat"/><Label value="dog"/></PolygonLabels></View>"""

shapes = st.tuples(st.integers(1, 15), st.integers(1, 15))
masks = shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 2)))


def polygon(
    points: list[Any], label: str = "cat", width: int = 10, height: int = 10, **more: Any
) -> dict[str, Any]:
    value = {"points": points, "closed": True, "polygonlabels": [label]}
    return {"id": "p1", "original_width": width, "original_height": height, "value": value} | more


def brush(mask: np.ndarray, label: str = "cat", **more: Any) -> dict[str, Any]:
    value = {"format": "rle", "rle": mask2rle(mask), "brushlabels": [label]}
    return {
        "id": "b1",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "value": value,
    } | more


@given(masks)
@settings(max_examples=100, deadline=None)
def test_masks_come_back_exactly_from_either_kind(mask: np.ndarray) -> None:
    for regions in (
        brush_regions(mask, CLASSES, "brush", "image"),
        polygon_regions(mask, CLASSES, "polygon", "image", tolerance=0),
    ):
        assert np.array_equal(paint(regions, CLASSES, mask.shape), mask)
        assert len({region["id"] for region in regions}) == len(regions)


def test_odd_sizes_do_not_move_a_pixel() -> None:
    """Percent of 1917 pixels are no round numbers."""
    mask = np.random.default_rng(0).integers(0, 3, (31, 1917)).astype(np.uint8)
    regions = polygon_regions(mask, CLASSES, "polygon", "image", tolerance=0)
    assert np.array_equal(paint(regions, CLASSES, mask.shape), mask)


def test_label_studio_takes_them_as_predictions() -> None:
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[5:20, 5:20], mask[10:15, 10:15], mask[2:9, 30:] = 1, 0, 2
    interface = LabelInterface(CONFIG)
    for regions in (
        brush_regions(mask, CLASSES, "brush", "image"),
        polygon_regions(mask, CLASSES, "polygon", "image"),
    ):
        prediction = {"result": regions, "score": 0.5, "model_version": "1"}
        assert interface.validate_prediction(prediction, return_errors=True) == []
        assert len(regions) == 2
        assert size_of(regions) == (30, 40)


def test_what_comes_later_lies_on_top() -> None:
    square = [[0, 0], [60, 0], [60, 60], [0, 60]]
    moved = [[40, 40], [100, 40], [100, 100], [40, 100]]
    over = paint([polygon(square), polygon(moved, "dog")], CLASSES, (10, 10))
    under = paint([polygon(moved, "dog"), polygon(square)], CLASSES, (10, 10))
    assert over[5, 5] == 2
    assert under[5, 5] == 1
    assert (over > 0).sum() == (under > 0).sum() == 36 + 36 - 4
    both = paint([polygon(square), polygon(moved)], CLASSES, (10, 10))
    assert (both == 1).sum() == 36 + 36 - 4


def test_points_beyond_the_frame_are_cut_off() -> None:
    wide = polygon([[-50, 20], [150, 20], [150, 40], [-50, 40]])
    mask = paint([wide], CLASSES, (10, 10))
    assert (mask[2:4] == 1).all()
    assert mask.sum() == 20


def test_a_turned_view_does_not_turn_the_regions() -> None:
    region = polygon([[0, 0], [50, 0], [50, 20], [0, 20]], width=20, image_rotation=90)
    assert np.array_equal(
        np.argwhere(paint([region], CLASSES, (10, 20))), [(y, x) for y in (0, 1) for x in range(10)]
    )


def test_regions_of_a_copy_of_another_size_are_brought_to_this_one() -> None:
    small = np.zeros((10, 20), dtype=np.uint8)
    small[2:5, 3:11] = 255
    large = paint([brush(small)], CLASSES, (30, 60))
    assert np.array_equal(large, np.kron(small > 0, np.ones((3, 3))))
    assert np.array_equal(
        paint([brush(np.kron(small, np.ones((3, 3), np.uint8)))], CLASSES, (10, 20)), small > 0
    )
    drawn = polygon([[15, 20], [55, 20], [55, 50], [15, 50]], width=20)
    assert np.array_equal(paint([drawn], CLASSES, (30, 60)), large)


def test_a_stroke_is_cut_at_half_its_strength() -> None:
    alpha = np.array([[0, 40, 127, 128, 255]], dtype=np.uint8)
    assert paint([brush(alpha)], CLASSES, alpha.shape).tolist() == [[0, 0, 0, 1, 1]]
    assert paint([brush(alpha // 255)], CLASSES, alpha.shape).tolist() == [[0, 0, 0, 0, 1]]
    assert paint([brush(alpha[:, :3])], CLASSES, (1, 3)).tolist() == [[0, 0, 1]]
    assert not paint([brush(alpha * 0)], CLASSES, alpha.shape).any()


def test_other_results_are_left_aside_and_a_label_may_stand_in_a_second_one() -> None:
    mask = np.full((4, 4), 255, dtype=np.uint8)
    shape, words = brush(mask), brush(mask)
    shape["value"] = {"format": "rle", "rle": shape["value"]["rle"]}
    words["value"] = shape["value"] | {"labels": ["dog"]}
    choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
    assert (paint([choice, shape, words], CLASSES, (4, 4)) == 2).all()
    assert size_of([choice]) is None
    assert label_of(shape) is None


def test_what_nobody_drew_on_is_ignored_where_no_background_is_implied() -> None:
    classes = MaskClasses(("sky", "cat"))
    region = polygon([[0, 0], [100, 0], [100, 50], [0, 50]], "sky")
    mask = paint([region], classes, (2, 2))
    assert mask.tolist() == [[0, 0], [255, 255]]
    assert [one["value"]["brushlabels"] for one in brush_regions(mask, classes, "b", "i")] == [["sky"]]


SQUARE = np.full((10, 10), 255, dtype=np.uint8)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (polygon([[0, 0], [1, 1], [0, 1]], "cow"), r"region p1 \(polygon\): class 'cow' is not in the list"),
        (polygon([[0, 0], [1, 1]]), "three points"),
        (polygon(["a"]), "pairs of numbers"),
        (polygon([[0], [1], [2]]), "pairs of numbers"),
        (polygon([[0, 0], [None, 1], [0, 1]]), "not a number"),
        (polygon([[0, 0], [1, 1], [0, 1]], width=20), "was drawn on an image of 20 x 10 pixels, and this"),
        (brush(SQUARE[:, :5]), r"region b1 \(brush\): was drawn on an image of 5 x 10"),
        (brush(SQUARE, original_width="10"), "not a size"),
        (brush(SQUARE, original_width=0), "is no size of a mask"),
        (brush(SQUARE, original_width=10**7, original_height=10**7), "is no size of a mask"),
        (brush(SQUARE) | {"value": {"rle": [1, 2], "brushlabels": ["cat"]}}, "ends in its header"),
        (brush(SQUARE) | {"value": {"rle": [1, 2]}}, "has no class"),
        (brush(SQUARE) | {"value": {"brushlabels": ["cat"]}}, "a list of bytes, not NoneType"),
        (brush(SQUARE) | {"value": {"polygonlabels": ["cat"]}}, "pairs of numbers"),
        (
            brush(SQUARE) | {"value": {"imageDataURL": "data:", "bitmasklabels": ["cat"]}},
            r"region b1 \(bitmask\): bitmasks are not read",
        ),
        (brush(SQUARE) | {"value": {"rle": [1, 2], "brushlabels": ["cat", "dog"]}}, "several classes"),
    ],
)
def test_a_broken_region_is_named(region: dict[str, Any], said: str) -> None:
    with pytest.raises(MaskError, match=said):
        paint([region], CLASSES, (10, 10))


def test_an_image_that_was_not_turned_by_its_exif_orientation_is_guessed_at() -> None:
    with pytest.raises(MaskError, match="EXIF"):
        paint([brush(SQUARE[:, :5])], CLASSES, (5, 10))
    with pytest.raises(MaskError, match="different sizes: 5 x 10, 10 x 10"):
        size_of([brush(SQUARE), brush(SQUARE[:, :5])])
