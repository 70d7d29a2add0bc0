"""Sets of masks through every format and back."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image
from pycocotools.coco import COCO

from ml.datasets import DatasetError
from ml.mask_sets import FORMATS, MaskReadOptions, MaskSet, MaskWriteOptions, read_masks, write_masks
from ml.mask_sets.label_studio import BRUSH, POLYGONS
from ml.mask_sets.overlay import colour_of
from ml.masks import MaskError
from ml.masks.brush import encode_brush
from ml.masks.png import write_png
from tests.ml.mask_sets.made import NAMES, make_photo, make_set

OUT = {
    "mmseg": "out",
    "masks": "out",
    "coco": "out/instances.json",
    "coco-polygons": "out/instances.json",
    "label-studio-brush": "out/tasks.json",
    "label-studio-polygons": "out/tasks.json",
}


def named(found: MaskSet) -> dict[str, np.ndarray]:
    """Masks by the name of the image, as numbers of `NAMES`."""
    numbers = np.array([NAMES.index(name) for name in found.classes.names])
    return {f"{scene.split}/{Path(scene.image).stem}": numbers[found.mask(scene)] for scene in found}


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back_is_the_same(tmp_path: Path, name: str) -> None:
    source = read_masks(make_set(tmp_path / "set"))
    out = tmp_path / OUT[name]
    options = MaskWriteOptions(tolerance=0, document_root=tmp_path)
    seen: list[tuple[int, int]] = []
    written = write_masks(source, out, format=name, options=options, progress=lambda *at: seen.append(at))
    assert (written.count, written.problems, written.loss.changed) == (5, [], 0)
    assert written.loss.pixels == sum(mask.size for mask in named(source).values())
    assert seen[-1] == (5, 5)
    back = read_masks(out, options=MaskReadOptions(images=None if name in ("mmseg", "masks") else tmp_path))
    assert back.classes.names == NAMES
    before, after = named(source), named(back)
    if name == "masks":  # which has no parts: names are made to differ
        assert sorted(mask.shape for mask in before.values()) == sorted(mask.shape for mask in after.values())
        assert sum(mask.sum() for mask in before.values()) == sum(mask.sum() for mask in after.values())
    else:
        assert before.keys() == after.keys()
        assert all(np.array_equal(before[one], after[one]) for one in before)


@pytest.mark.parametrize("name", ["coco-polygons", "label-studio-polygons"])
def test_what_a_tolerance_costs_is_told(tmp_path: Path, name: str) -> None:
    source = read_masks(make_set(tmp_path / "set"))
    out = tmp_path / "out.json"
    written = write_masks(
        source, out, format=name, options=MaskWriteOptions(tolerance=1.0, document_root=tmp_path)
    )
    back = named(read_masks(out, options=MaskReadOptions(images=tmp_path)))
    changed = sum((mask != back[one]).sum() for one, mask in named(source).items())
    assert written.loss.changed == changed > 0
    assert 0 < written.loss.share < 0.1
    assert 0.8 < written.loss.iou < 1
    assert "% of the pixels" in str(written.loss)
    exact = tmp_path / "exact.json"
    exact_options = MaskWriteOptions(tolerance=0, document_root=tmp_path)
    assert str(write_masks(source, exact, format=name, options=exact_options).loss) == "nothing was lost"
    assert exact.stat().st_size > 1.5 * out.stat().st_size


def test_pycocotools_takes_the_files(tmp_path: Path) -> None:
    source = read_masks(make_set(tmp_path / "set"))
    masks = {f"{one.split}/{Path(one.image).name}": source.mask(one) for one in source}
    wrong = {}
    for name in ("coco", "coco-polygons"):
        out = tmp_path / f"{name}.json"
        write_masks(source, out, format=name, options=MaskWriteOptions(tolerance=0))
        coco = COCO(str(out))
        assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
        wrong[name] = 0
        for image in coco.loadImgs(coco.getImgIds()):
            mask = masks[image["file_name"].removeprefix("set/img/")]
            painted = np.zeros_like(mask)
            for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
                piece = coco.annToMask(annotation).astype(bool)
                left, top, width, height = annotation["bbox"]
                assert piece[top : top + height, left : left + width].sum() == piece.sum()
                if name == "coco":
                    assert piece.sum() == annotation["area"]
                painted[piece] = annotation["category_id"]
            wrong[name] += int((painted != mask).sum())
    assert wrong == {"coco": 0, "coco-polygons": 0}


def test_cocos_own_forms_are_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a.png")
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "b.png")
    annotations: list[dict[str, Any]] = [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 30,
            "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4], [6, 0, 8, 0, 8, 2, 6, 2]],
        },
        {"id": 2, "image_id": 7, "category_id": 10, "segmentation": {"size": [6, 8], "counts": [0, 2, 46]}},
    ]
    content = {
        "images": [
            {"id": number, "file_name": name, "height": 6, "width": 8}
            for number, name in ((7, "a.png"), (9, "b.png"))
        ],
        "categories": [{"id": 30, "name": "dog"}, {"id": 10, "name": "cat"}],
        "annotations": annotations,
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    found = read_masks(path)
    assert found.classes.names == ("background", "cat", "dog")
    first, second = (found.mask(scene) for scene in found)
    assert (first == 2).sum() == 16 + 4 - 2
    assert first[:2, 0].tolist() == [1, 1]
    assert not second.any()
    for broken, said in (
        ({"image_id": 8}, "is of image 8, which is not there"),
        ({"image_id": None}, "entry 2 of 'annotations' has no 'image_id'"),
    ):
        path.write_text(json.dumps(content | {"annotations": [annotations[0], annotations[1] | broken]}))
        with pytest.raises(DatasetError, match=said):
            read_masks(path)
    for broken, said in (
        ({"category_id": 11}, "category 11"),
        ({"segmentation": []}, "has no segmentation"),
        ({"segmentation": [[1, 2, 3]]}, "x, y, x, y"),
        ({"segmentation": ["ab"]}, "no list of numbers"),
        ({"segmentation": {"size": [8, 6], "counts": "0"}}, "annotation 2: the run-length code is of size"),
    ):
        path.write_text(json.dumps(content | {"annotations": [annotations[0], annotations[1] | broken]}))
        with pytest.raises(DatasetError, match=said):
            write_masks(read_masks(path), tmp_path / "out", format="mmseg")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", [BRUSH, POLYGONS])
def test_label_studio_takes_the_tasks(tmp_path: Path, format: Any) -> None:
    source = read_masks(make_set(tmp_path / "set"))
    write_masks(
        source, tmp_path / "tasks.json", format=format.NAME, options=MaskWriteOptions(document_root=tmp_path)
    )
    config = format.label_config(source.classes.drawn)
    for number in source.classes.drawn.values():
        assert "#{:02x}{:02x}{:02x}".format(*colour_of(number, source.classes)) in config
    interface = LabelInterface(config)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 5
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        assert interface.validate_annotation(task["annotations"][0])


def test_a_project_that_is_half_done(tmp_path: Path) -> None:
    """Tasks nobody has done are counted; a ground truth goes before what came later; nothing drawn is background."""
    source = read_masks(make_set(tmp_path / "set"))
    write_masks(
        source,
        tmp_path / "tasks.json",
        format="label-studio-brush",
        options=MaskWriteOptions(document_root=tmp_path),
    )
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    empty: dict[str, Any] = {"result": []}
    tasks[0]["annotations"] = []
    tasks[1]["annotations"] = [tasks[1]["annotations"][0] | {"was_cancelled": True}]
    tasks[2]["annotations"] = [tasks[2]["annotations"][0] | {"ground_truth": True}, empty]
    tasks[3]["annotations"].append(empty)
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    found = read_masks(tmp_path / "tasks.json")
    assert (len(found), found.unlabelled) == (3, 2)
    masks = [found.mask(scene) for scene in found]
    assert masks[0].any()
    assert not masks[1].any()
    assert masks[1].shape == found.scenes[1].size()


def test_every_fault_of_a_folder_is_named(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", {"train": 7})
    images, labels = folder / "img" / "train", folder / "labels" / "train"
    (images / "0.jpg").unlink()
    (labels / "1.png").unlink()
    (images / "2.png").write_bytes((images / "2.jpg").read_bytes())
    (labels / "3.png").write_bytes(write_png(np.full((43, 56), 9, np.uint8)))
    (labels / "4.png").write_bytes(write_png(np.zeros((4, 5), np.uint8)))
    (labels / "5.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="--skip-problems") as refused:
        read_masks(folder)
    assert "train/0.png: has no image in img" in str(refused.value)
    assert "train/1.jpg: has no mask in labels" in str(refused.value)
    assert "train/2.png: has the mask of another image" in str(refused.value)
    found = read_masks(folder, skip_problems=True)
    assert len(found.problems) == 3
    with pytest.raises(DatasetError, match="--skip-problems"):
        write_masks(found, tmp_path / "out.json", format="coco")
    assert not (tmp_path / "out.json").exists()
    written = write_masks(found, tmp_path / "out.json", format="coco", skip_problems=True)
    assert written.count == 2
    said = "\n".join(map(str, written.problems))
    assert (
        "labels/train/3.png: the mask has numbers of no class: 9 (2408 pixels); there are 3 classes" in said
    )
    assert "labels/train/4.png: the mask has 5 x 4 pixels, but the image 56 x 44" in said
    assert "labels/train/5.png: the mask is no PNG" in said


def test_what_nobody_labelled_is_blank_elsewhere_and_counted_as_lost(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", {"val": 1})
    mask = np.zeros((40, 56), np.uint8)
    mask[:10], mask[10:12] = 1, 255
    (folder / "labels" / "val" / "0.png").write_bytes(write_png(mask))
    source = read_masks(folder)
    assert write_masks(source, tmp_path / "a.json", format="coco").loss.changed == 2 * 56
    assert write_masks(source, tmp_path / "b", format="masks").loss.changed == 0
    # where no background is implied, what is not drawn is not labelled
    (folder / "classes.txt").write_text("sky\nroad\n")
    source = read_masks(folder)
    assert write_masks(source, tmp_path / "c.json", format="coco").loss.changed == 0


def test_without_a_list_classes_are_called_by_their_numbers(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set", classes=False)
    assert read_masks(folder).classes.names == ("0", "1", "2")
    assert read_masks(folder, options=MaskReadOptions(classes=NAMES)).classes.names == NAMES
    (folder / "classes.txt").write_text("a\na\n")
    with pytest.raises(DatasetError, match="'a' twice"):
        read_masks(folder)


def test_images_that_are_not_here(tmp_path: Path) -> None:
    source = read_masks(make_set(tmp_path / "set", {"val": 1}))
    away = replace(source, scenes=[replace(source.scenes[0], path=None, image="s3://bucket/0.jpg")])
    write_masks(away, tmp_path / "tasks.json", format="label-studio-brush")
    found = read_masks(tmp_path / "tasks.json")
    assert np.array_equal(found.mask(found.scenes[0]), source.mask(source.scenes[0]))
    with pytest.raises(DatasetError, match=r"s3://bucket/0\.jpg is not on this machine"):
        write_masks(found, tmp_path / "out", format="mmseg")


def test_what_is_no_set_of_masks(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jpg").write_bytes(make_photo((4, 4), 0))
    for name, format, said in (
        ("empty", "", "looks like no masks"),
        ("empty", "mmseg", "does not hold a folder of images"),
        ("empty", "nonsense", "unknown format of masks 'nonsense'"),
        ("a.jpg", "coco", "not text in UTF-8"),
    ):
        with pytest.raises(DatasetError, match=said):
            read_masks(tmp_path / name, format=format)
    with pytest.raises(FileNotFoundError):
        read_masks(tmp_path / "nothing")


def test_a_set_takes_the_memory_of_its_codes(tmp_path: Path) -> None:
    """As a list of numbers a brush code takes eight times its bytes, and as text four times."""
    folder = make_set(tmp_path / "set", {"val": 1})
    noise = np.random.default_rng(0).integers(0, 2, (200, 200)).astype(bool)
    code = encode_brush(noise)
    region = {"type": "brushlabels", "original_width": 200, "original_height": 200}
    value = {"format": "rle", "rle": code, "brushlabels": ["cat"]}
    Image.new("RGB", (200, 200)).save(folder / "a.png")
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [region | {"value": value}]}]}
    count = 30
    (folder / "tasks.json").write_text(json.dumps([task] * count))
    tracemalloc.start()
    try:
        found = read_masks(folder / "tasks.json")
        kept, _ = tracemalloc.get_traced_memory()
        for format in ("masks", "label-studio-brush"):
            options = MaskWriteOptions(document_root=tmp_path)
            assert write_masks(found, tmp_path / format, format=format, options=options).count == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.5 * count * len(code)
    assert peak < kept + 8_000_000


def test_a_part_of_a_foreign_file_names_no_folder_elsewhere(tmp_path: Path) -> None:
    source = read_masks(make_set(tmp_path / "set", {"val": 1}))
    write_masks(source, tmp_path / "a.json", format="coco")
    for part, folder in (("../../out", "%2E.%2F..%2Fout"), ("..", "%2E%2E"), ("/etc", "%2Fetc")):
        content = json.loads((tmp_path / "a.json").read_text())
        content["images"][0]["split"] = part
        (tmp_path / "b.json").write_text(json.dumps(content))
        write_masks(read_masks(tmp_path / "b.json"), tmp_path / "deep" / "er", format="mmseg", force=True)
        assert [path.name for path in (tmp_path / "deep" / "er" / "img").iterdir()] == [folder]


def test_a_size_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    source = read_masks(make_set(tmp_path / "set", {"val": 1}))
    write_masks(source, tmp_path / "a.json", format="coco")
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][0] |= {"width": 10**6, "height": 10**6}
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = read_masks(tmp_path / "a.json")
    with pytest.raises(MaskError, match="1000000 x 1000000 is no size of a mask"):
        found.mask(found.scenes[0])


def test_an_empty_line_among_classes_does_not_move_the_others(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "set")
    (folder / "classes.txt").write_text("background\ncat\ndog\n\n\n")
    assert read_masks(folder).classes.names == NAMES
    (folder / "classes.txt").write_text("background\n\ncat\ndog\n")
    with pytest.raises(DatasetError, match="an empty name"):
        read_masks(folder)
