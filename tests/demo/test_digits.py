"""The demo's images and planted errors."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from backend.labelstudio.config import find_kind
from demo.digits import LABEL_CONFIG, SIZE, make_digits, render


def test_the_same_eight_percent_are_wrong_at_every_start() -> None:
    digits = make_digits()
    assert (len(digits.truth), len(digits.given), len(digits.planted)) == (1797, 600, 48)
    assert digits == make_digits()
    assert make_digits(seed=8).planted != digits.planted


def test_images_are_drawn_once(tmp_path: Path) -> None:
    paths = render(tmp_path)
    assert len(paths) == 1797
    with Image.open(paths[0]) as image:
        assert (image.format, image.size) == ("PNG", (SIZE, SIZE))
    stamp = paths[5].stat().st_mtime_ns
    paths[6].unlink()
    assert render(tmp_path) == paths
    assert paths[5].stat().st_mtime_ns == stamp
    assert paths[6].exists()


def test_lineup_can_learn_the_label_config() -> None:
    assert find_kind(LABEL_CONFIG).classes == tuple("0123456789")
