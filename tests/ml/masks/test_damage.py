"""Masks damaged on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml.masks import MaskError
from ml.masks.classes import MaskClasses
from ml.masks.damage import DAMAGES, damage_mask
from ml.masks.distance import depth

DRAWN = MaskClasses(("background", "leaf", "stem", "root"))
STREET = MaskClasses(("sky", "wall", "road"), ignore=255)


def scene(size: int = 96) -> np.ndarray:
    """Two objects on background."""
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[size // 8 : size // 2, size // 8 : size // 3] = 1
    mask[size // 2 : size - size // 8, size // 2 : size - size // 8] = 3
    return mask


def street() -> np.ndarray:
    """No background, and a strip that nobody labelled."""
    mask = np.zeros((120, 160), dtype=np.uint8)
    mask[50:, :] = 1
    mask[90:, :] = 2
    mask[50:60, 20:50] = 2
    mask[:, 150:] = 255
    return mask


@given(
    arrays(
        np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40)), elements=st.sampled_from([0, 1, 2, 255])
    ),
    st.sampled_from([DRAWN, STREET]),
    st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_what_changed_is_the_region_and_stays_in_the_list(
    coarse: np.ndarray, classes: MaskClasses, seed: int
) -> None:
    mask = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)  # so that there are objects
    before = mask.copy()
    try:
        damaged, kind, region = damage_mask(mask, classes, np.random.default_rng(seed))
    except MaskError:
        assert (mask == 255).mean() > 0.5 or len(np.unique(mask)) == 1
        return
    assert np.array_equal(mask, before)
    assert kind in DAMAGES
    assert damaged.dtype == mask.dtype
    assert np.array_equal(region, damaged != mask)
    assert region.any()
    assert not classes.unknown(damaged)
    assert np.array_equal(damaged == 255, mask == 255)
    again = damage_mask(mask, classes, np.random.default_rng(seed))
    assert again.kind == kind
    assert np.array_equal(again.mask, damaged)


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(("mask", "classes"), [(scene(), DRAWN), (scene(64), DRAWN), (street(), STREET)])
def test_each_kind_does_what_it_says(kind: str, mask: np.ndarray, classes: MaskClasses) -> None:
    for seed in range(6):
        damaged, given, region = damage_mask(mask, classes, np.random.default_rng(seed), kind=kind)
        assert given == kind
        before, after = set(mask[region].tolist()), set(damaged[region].tolist())
        if kind == "dropped":
            assert len(before) == 1
            assert after == {0} if classes.implied else not before & after
        elif kind == "swapped":
            assert len(before) == len(after) == 1
            assert after <= set(classes.drawn.values())
        elif kind == "blob":
            assert len(after) == 1
            assert after <= set(classes.drawn.values())
        else:
            moved = np.bincount(damaged.ravel(), minlength=4) - np.bincount(mask.ravel(), minlength=4)
            assert 0 < region.mean() < 0.4
            if kind == "shifted" and classes.implied:
                assert np.abs(moved).max() <= 0.1 * (mask > 0).sum()  # it is as large as before


def test_shifts_are_shorter_on_small_masks() -> None:
    def reach(size: int) -> float:
        lengths = []
        for seed in range(30):
            damaged = damage_mask(scene(size), DRAWN, np.random.default_rng(seed), kind="shifted").mask
            for number in (1, 3):
                old, new = (np.argwhere(one == number).mean(axis=0) for one in (scene(size), damaged))
                lengths.append(float(np.hypot(*(new - old))))
        return max(lengths)

    assert 3 <= reach(64) <= 7
    assert 10 <= reach(320) <= 16


def test_a_mask_with_nothing_to_damage_is_refused() -> None:
    empty = np.zeros((64, 64), dtype=np.uint8)
    assert damage_mask(empty, DRAWN, np.random.default_rng(0)).kind == "blob"
    with pytest.raises(MaskError, match="'dropped': 0 objects"):
        damage_mask(empty, DRAWN, np.random.default_rng(0), kind="dropped")
    with pytest.raises(MaskError, match="nothing can be damaged"):
        damage_mask(np.full((64, 64), 255, dtype=np.uint8), STREET, np.random.default_rng(0))
    one_class = MaskClasses(("background", "leaf"))
    with pytest.raises(MaskError, match="1 classes that are drawn"):
        damage_mask(np.minimum(scene(), 1), one_class, np.random.default_rng(0), kind="swapped")
    with pytest.raises(ValueError, match="no damage 'torn'"):
        damage_mask(empty, DRAWN, np.random.default_rng(0), kind="torn")


def test_what_goes_on_beyond_every_edge_has_no_rim() -> None:
    everywhere = np.ones((48, 64), dtype=np.uint8)
    for seed in range(6):
        with pytest.raises(MaskError, match="nothing can be damaged by 'resized'"):
            damage_mask(everywhere, DRAWN, np.random.default_rng(seed), kind="resized")


def test_depth_is_infinite_where_nothing_is_outside() -> None:
    region = np.ones((3, 5), dtype=bool)
    assert np.isinf(depth(region)).all()
    region[0, 0] = False
    assert depth(region)[2].tolist() == pytest.approx(np.hypot(2, np.arange(5)).tolist())
