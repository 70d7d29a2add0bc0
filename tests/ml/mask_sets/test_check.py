"""What a look through a set of masks finds, and pictures of masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.embedders import make_embedder
from ml.mask_sets import FORMATS, MaskReadOptions, read_masks
from ml.mask_sets.check import KINDS, check
from ml.mask_sets.check_files import write_check
from ml.mask_sets.leaks import find_leaks
from ml.mask_sets.overlay import draw_scene, overlay
from ml.masks.classes import MaskClasses
from ml.masks.png import palette, write_png
from tests.ml.mask_sets.made import make_photo, make_set


def put(folder: Path, name: str, mask: np.ndarray) -> None:
    (folder / "labels" / f"{name}.png").write_bytes(write_png(mask))


def test_a_sound_set_has_no_fault_and_its_figures_are_right(tmp_path: Path) -> None:
    found = read_masks(make_set(tmp_path / "set"))
    seen: list[tuple[int, int]] = []
    checked = check(found, progress=lambda *at: seen.append(at))
    assert (checked.faults, checked.good, seen[-1]) == ([], True, (5, 5))
    assert list(checked.parts) == ["train", "val"]
    masks = [found.mask(scene) for scene in found if scene.split == "train"]
    train = checked.parts["train"]
    assert train.count == 3
    assert train.pixels.tolist() == [sum(int((mask == n).sum()) for mask in masks) for n in range(3)]
    assert train.images.tolist() == [3, 3, 3]
    assert train.sizes == {(40, 56): 1, (41, 56): 1, (42, 56): 1}
    assert find_leaks(found, None) == []


def test_every_kind_of_fault_is_found(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", {"train": 7, "val": 4})
    (folder / "classes.txt").write_text("background\ncat\ndog\nbird\ncow\n", encoding="utf-8")
    (folder / "labels/train/0.png").unlink()
    (folder / "img/train/1.jpg").unlink()
    whole = (folder / "img/train/2.jpg").read_bytes()
    (folder / "img/train/2.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "labels/train/3.png").write_bytes(b"nothing")
    put(folder, "train/4", np.zeros((9, 56), np.uint8))
    put(folder, "train/5", np.full((45, 56), 200, np.uint8))
    blank = np.zeros((46, 56), np.uint8)
    blank[0] = 255
    put(folder, "train/6", blank)
    put(folder, "val/0", np.full((40, 56), 3, np.uint8))
    shutil.copy(folder / "img/train/2.jpg", folder / "img/val/3.jpg")
    found = read_masks(folder, skip_problems=True)
    checked = check(found)
    checked.faults += find_leaks(found, None)
    told = {
        kind: [f"{fault.where}: {fault.what}" for fault in faults]
        for kind, faults in checked.by_kind().items()
    }
    assert list(told) == list(KINDS)
    assert not checked.good
    assert told["no pair"] == ["train/0.jpg: has no mask in labels", "train/1.png: has no image in img"]
    assert [line.split(":")[0] for line in told["unreadable image"]] == ["train/2.jpg", "val/3.jpg"]
    assert told["unreadable mask"][0].startswith("labels/train/3.png: the mask is no PNG")
    assert told["other size"] == ["labels/train/4.png: 56 x 9, but the image 56 x 44"]
    assert told["no class"] == ["labels/train/5.png: 200 (2520 pixels)"]
    assert told["leak"] == ["train/2.jpg: is the same file as val/3.jpg"]
    assert told["class unseen"] == ["train: bird is in other parts alone"]
    assert [line.split(":")[0] for line in told["empty mask"]] == ["labels/train/4.png", "labels/train/6.png"]
    assert told["class absent"] == ["train: no mask has cow", "val: no mask has cow"]
    assert checked.parts["train"].ignored == 56


def test_near_duplicates_between_parts_are_leaks_and_within_one_are_not(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", {"train": 12, "val": 12, "test": 12})
    again = Image.open(folder / "img/train/4.jpg")
    again.save(folder / "img/val/4.jpg", quality=60)
    again.save(folder / "img/train/5.jpg", quality=70)
    Image.open(folder / "img/test/7.jpg").save(folder / "img/test/8.jpg", quality=70)
    found = read_masks(folder, skip_problems=True)
    leaks = find_leaks(found, make_embedder("pixels"), cache=tmp_path / "cache")
    assert [str(fault.where) for fault in leaks] == ["train/4.jpg"]
    assert leaks[0].what == "is nearly the same as val/4.jpg"


def test_what_was_found_is_written_as_tables_and_a_picture(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set")
    put(folder, "val/0", np.zeros((40, 56), np.uint8))
    checked = check(read_masks(folder))
    write_check(checked, tmp_path / "out")
    faults = (tmp_path / "out" / "faults.csv").read_text().splitlines()
    assert faults[0] == "kind,where,what"
    assert faults[1].startswith("empty mask,labels/val/0.png,")
    rows = [line.split(",") for line in (tmp_path / "out" / "classes.csv").read_text().splitlines()[1:]]
    assert [row[:2] for row in rows[:3]] == [["background", "train"], ["cat", "train"], ["dog", "train"]]
    assert sum(float(row[3]) for row in rows[:3]) == pytest.approx(1, abs=1e-5)
    assert rows[4][4:] == ["1", "0.5"]
    assert Image.open(tmp_path / "out" / "check.png").width > 500


def test_a_set_without_parts(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(make_photo((8, 9), 0))
    (folder / "masks" / "a.png").write_bytes(write_png(np.ones((8, 9), np.uint8)))
    found = read_masks(folder, options=MaskReadOptions(classes=("background", "cat")))
    checked = check(found)
    assert checked.parts[""].images.tolist() == [0, 1]
    assert [fault.what for fault in checked.faults] == ["no mask has background"]
    assert find_leaks(found, make_embedder("pixels"), cache=tmp_path) == []


def test_an_overlay_shows_classes_in_their_colours_over_the_image() -> None:
    grey = Image.new("RGB", (40, 20), (100, 100, 100))
    mask = np.zeros((10, 20), np.uint8)  # half the image's size
    mask[2:8, 4:10] = 1
    mask[2:8, 14:18] = 255
    drawn = np.asarray(overlay(grey, mask, MaskClasses(("background", "cat")), opacity=0.5)).astype(int)
    assert drawn.shape == (20, 40, 3)
    assert drawn[1, 1].tolist() == [100, 100, 100]
    assert drawn[10, 12].tolist() == ((palette()[1].astype(int) + 100) // 2).tolist()
    assert drawn[10, 19].tolist() == palette()[1].tolist()
    assert drawn[10, 32].tolist() == [178, 178, 178]
    sky = np.asarray(overlay(grey, mask, MaskClasses(("sky", "cat")), opacity=1.0))
    assert sky[1, 1].tolist() == palette()[1].tolist()


def test_a_picture_is_upright_and_has_a_legend(tmp_path: Path) -> None:
    found = read_masks(make_set(tmp_path / "set"))
    sideways = found.scenes[1]
    picture = draw_scene(found, sideways, side=400)
    assert picture.width == 56
    assert picture.height > 41
    assert draw_scene(found, sideways, side=28).width == 28


def test_the_docs_name_every_format_and_every_fault(repository: Path) -> None:
    told = (repository / "docs" / "masks.md").read_text(encoding="utf-8")
    assert [name for name in (*FORMATS, *KINDS) if f"`{name}`" not in told] == []
