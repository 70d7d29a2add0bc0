"""From a mask to polygons and back: exact without a tolerance, within it otherwise."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Polygon
from scipy.ndimage import binary_fill_holes, gaussian_filter, label

from ml.masks import MaskError
from ml.masks.fill import fill
from ml.masks.outline import outlines, ring_area
from ml.masks.seam import seam
from ml.masks.simplify import simplify

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = shapes.flatmap(lambda shape: arrays(np.bool_, shape))
corners = st.floats(-30, 50, allow_subnormal=False).map(lambda value: round(value, 3) + 0.00037)
polygons = st.lists(st.tuples(corners, corners), min_size=3, max_size=9).map(np.array)


def blobs(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A mask as people draw them: smooth pieces with holes."""
    noise = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(gaussian_filter(noise, 5) > 0)


@given(masks)
@settings(max_examples=200, deadline=None)
def test_outlines_filled_are_the_mask_again(mask: np.ndarray) -> None:
    found = outlines(mask)
    assert len(found) == label(mask)[1]
    together = np.zeros(mask.shape, dtype=int)
    for one in found:
        piece = fill(one.rings, mask.shape)
        assert np.array_equal(piece, fill(one.rings, mask.shape, even_odd=True))
        # background that meets by a corner alone is connected, as the mask is not
        assert np.array_equal(fill([one.outer], mask.shape), binary_fill_holes(piece, np.ones((3, 3))))
        assert ring_area(one.outer) > 0
        assert all(ring_area(hole) < 0 for hole in one.holes)
        together += piece
    assert np.array_equal(together, mask)


@given(masks)
@settings(max_examples=200, deadline=None)
def test_a_ring_with_seams_has_the_holes(mask: np.ndarray) -> None:
    for one in outlines(mask):
        piece = fill(one.rings, mask.shape)
        ring = seam(one)
        assert np.array_equal(fill([ring], mask.shape), piece)
        assert np.array_equal(fill([ring], mask.shape, even_odd=True), piece)


@given(st.lists(polygons, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_pixels_are_those_whose_centre_is_inside(rings: list[np.ndarray]) -> None:
    height, width = 17, 23
    y, x = np.mgrid[:height, :width] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    odd = np.zeros(height * width, dtype=bool)
    turns = np.zeros(height * width)
    clear = np.ones(height * width, dtype=bool)  # of every edge: on one, either answer is right
    for ring in rings:
        odd ^= Polygon(ring).contains_points(centres)
        away = [points - centres for points in ring]
        for begin, end in pairwise([*away, away[0]]):
            cross = begin[:, 0] * end[:, 1] - begin[:, 1] * end[:, 0]
            turns += np.arctan2(cross, (begin * end).sum(axis=1))
            clear &= np.abs(cross) > 1e-6
    inside = np.round(turns / (2 * np.pi)) != 0
    assert np.array_equal(fill(rings, (height, width), even_odd=True).ravel()[clear], odd[clear])
    assert np.array_equal(fill(rings, (height, width)).ravel()[clear], inside[clear])


def test_a_ring_around_the_frame_has_every_pixel_and_one_beside_it_none() -> None:
    around = np.array([[-1e6, -1e6], [1e6, -1e6], [1e6, 1e6], [-1e6, 1e6]])
    assert fill([around], (4, 5)).all()
    for x, y in ((2e6, 2e6), (-2e6, 0), (0, 2e6)):
        assert not fill([np.add(around, (x, y))], (4, 5)).any()


@pytest.mark.parametrize(
    ("ring", "said"),
    [
        (np.zeros((2, 2)), "three points"),
        (np.zeros((3, 3)), "three points"),
        (np.array([[0, 0], [1, np.nan], [1, 1]]), "not a number"),
        (np.array([[0, 0], [np.inf, 0], [1, 1]]), "not a number"),
    ],
)
def test_what_is_no_polygon_is_named(ring: np.ndarray, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        fill([ring], (4, 4))


@given(st.integers(0, 20), st.floats(0.3, 6))
@settings(max_examples=30, deadline=None)
def test_no_point_is_farther_away_than_the_tolerance(seed: int, tolerance: float) -> None:
    rings = [ring for one in outlines(blobs((60, 80), seed)) for ring in one.rings]
    for ring, thin in zip(rings, simplify(rings, tolerance), strict=True):
        assert len(thin) >= 3
        assert set(map(tuple, thin)) <= set(map(tuple, ring))
        begin, end = thin, np.roll(thin, -1, axis=0)
        line = end - begin
        for point in ring:
            along = np.clip(((point - begin) * line).sum(axis=1) / np.square(line).sum(axis=1), 0, 1)
            nearest = np.hypot(*(begin + along[:, None] * line - point).T).min()
            assert nearest <= tolerance + 1e-9


def test_simplified_polygons_are_a_tenth_of_the_points_and_nearly_the_same_pixels() -> None:
    mask = blobs((240, 320))
    rings = [ring for one in outlines(mask) for ring in one.rings]
    thin = simplify(rings, 1.0)
    assert sum(map(len, thin)) < 0.25 * sum(map(len, rings))
    changed = (fill(thin, mask.shape) != mask).mean()
    assert 0 < changed < 0.03
    assert all(np.array_equal(a, b) for a, b in zip(rings, simplify(rings, 0), strict=True))


def test_small_things_do_not_vanish() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = mask[0, 2:6] = True
    rings = [one.outer for one in outlines(mask)]
    assert np.array_equal(fill(simplify(rings, 3.0), mask.shape), mask)
    saw = np.stack([np.arange(40), np.arange(40) % 2 * 0.6], axis=1)
    strip = np.concatenate([saw, np.add(saw[::-1], (0, 1.5))])
    [thin] = simplify([strip], 4.0)
    assert 3 <= len(thin) < 10


def test_an_empty_mask_has_no_outline() -> None:
    assert outlines(np.zeros((3, 4), dtype=bool)) == []
    assert not fill([], (3, 4)).any()
    assert simplify([], 1.0) == []


def test_more_edges_than_memory_holds_are_refused() -> None:
    zigzag = np.stack([np.arange(30_000), np.arange(30_000) % 2 * 1000], axis=1)
    with pytest.raises(MaskError, match="can be filled"):
        fill([zigzag], (1000, 10))
