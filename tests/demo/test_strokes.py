"""The demo's masks and the damage in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.labelstudio.config import find_kind
from demo.strokes import CLASSES, LABEL_CONFIG, Strokes


def test_a_tenth_of_the_given_masks_is_damaged_the_same_at_every_start() -> None:
    strokes, again = Strokes(), Strokes()
    assert (len(strokes.given), len(strokes.planted)) == (120, 12)
    assert strokes.damaged == again.damaged
    for index, mask in strokes.given.items():
        assert np.array_equal(mask, again.given[index])
        assert np.array_equal(mask, strokes.truth(index)) == (index not in strokes.planted)


def test_masks_come_back_from_regions_and_images_are_drawn_once(tmp_path: Path) -> None:
    strokes = Strokes(images=5, labelled=2)
    paths = strokes.render(tmp_path)
    stamp = paths[3].stat().st_mtime_ns
    assert strokes.render(tmp_path) == paths
    assert paths[3].stat().st_mtime_ns == stamp
    for index in range(5):
        truth = strokes.truth(index)
        assert np.array_equal(strokes.read(strokes.write(truth)), truth)
        assert strokes.agreement(truth, truth) == 1.0
        assert strokes.agreement(np.zeros_like(truth), truth) == 0.0


def test_lineup_can_learn_the_label_config() -> None:
    assert find_kind(LABEL_CONFIG).classes == CLASSES.names
