from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images

from ml.quality import BLURRY, BRIGHT, DARK, EMPTY, ODD_SIZE, UNREADABLE, judge_images, measure, unreadable


def photos() -> list[Image.Image]:
    return [Image.fromarray(array) for array in load_sample_images().images]


def spoilt() -> dict[str, Image.Image]:
    china, flower = photos()
    return {
        DARK: Image.fromarray((np.asarray(china) * 0.2).astype(np.uint8)),
        BRIGHT: Image.fromarray((255 - (255 - np.asarray(flower)) * 0.02).astype(np.uint8)),
        BLURRY: flower.filter(ImageFilter.GaussianBlur(40)),
        EMPTY: Image.new("RGB", china.size, (128, 120, 90)),
        ODD_SIZE: china.resize((1500, 100)),
    }


def test_good_photos_are_fine() -> None:
    assert judge_images(np.stack([measure(photo) for photo in photos()])) == ["", ""]


@pytest.mark.parametrize("name", [DARK, BRIGHT, BLURRY, EMPTY, ODD_SIZE])
def test_each_fault_is_named(name: str) -> None:
    rows = [measure(photo) for photo in photos()] * 4 + [measure(spoilt()[name])]
    assert judge_images(np.stack(rows)) == [""] * 8 + [name]


def test_an_unreadable_image_spoils_no_other() -> None:
    rows = np.stack([measure(photos()[0]), unreadable(), measure(photos()[1])])
    assert judge_images(rows) == ["", UNREADABLE, ""]
    assert judge_images(rows[1:2]) == [UNREADABLE]
    assert judge_images(np.zeros((0, 7))) == []


def test_what_most_images_show_is_no_fault() -> None:
    dark = measure(spoilt()[DARK])
    assert judge_images(np.stack([dark, measure(photos()[0])])) == [DARK, ""]
    assert judge_images(np.stack([dark, dark, measure(photos()[0])])) == ["", "", ""]


def test_a_size_is_odd_beside_others_only() -> None:
    small, large = Image.new("L", (40, 40)), photos()[0]
    rows = [measure(large, size=(640, 480))] * 9 + [
        measure(large, size=(646, 480)),
        measure(large, size=(60, 40)),
    ]
    assert judge_images(np.stack(rows))[9:] == ["", ODD_SIZE]
    assert measure(small.convert("RGB"))[:2].tolist() == [40, 40]


def test_a_shrunk_image_measures_about_the_same() -> None:
    china = photos()[0]
    small = china.resize((china.width // 3, china.height // 3), Image.Resampling.BOX)
    full, shrunk = measure(china), measure(small, size=china.size)
    assert np.allclose(full[:4], shrunk[:4], atol=0.02)
    assert np.allclose(full[4:], shrunk[4:], rtol=0.25)


def test_cleanvision_agrees(tmp_path_factory: pytest.TempPathFactory) -> None:
    from cleanvision import Imagelab

    folder = tmp_path_factory.mktemp("images")
    pictures = {f"good{i}": photo for i, photo in enumerate(photos() * 4)} | spoilt()
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    lab = Imagelab(data_path=str(folder))
    lab.find_issues(
        {"dark": {}, "light": {}, "blurry": {}, "low_information": {}, "odd_aspect_ratio": {}},
        n_jobs=1,
        verbose=False,
    )
    issues = lab.issues
    issues.index = [path.rsplit("/", 1)[-1].removesuffix(".png") for path in issues.index]
    ours = dict(
        zip(
            pictures, judge_images(np.stack([measure(picture) for picture in pictures.values()])), strict=True
        )
    )
    columns = {
        DARK: "is_dark_issue",
        BRIGHT: "is_light_issue",
        EMPTY: "is_low_information_issue",
        BLURRY: "is_blurry_issue",
        ODD_SIZE: "is_odd_aspect_ratio_issue",
    }
    for name, found in ours.items():
        theirs = {ours_name for ours_name, column in columns.items() if issues.loc[name, column]}
        assert found in theirs or (found == "" and not theirs), (name, found, theirs)
