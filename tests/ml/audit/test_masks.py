"""The audit of masks: damaged ones are found and shown, by tables, pictures and a page that needs nothing."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from ml.audit.masks import MaskAudit, audit_masks, write_mask_audit
from ml.datasets import DatasetError, Problem
from ml.embedders.pixels import PixelsEmbedder
from ml.mask_sets import MaskSet, read_masks
from ml.masks.classes import MaskClasses
from ml.masks.png import read_png, write_png
from ml.segmentation.features import make_pixel_features
from ml.suspicion.reasons import TOO_FEW
from tests.ml.audit.pages import EVIL, Page, assert_alone
from tests.ml.audit.shapes import make_damaged


def audit_of(found: MaskSet, cache: Path, **how: object) -> MaskAudit:
    return audit_masks(found, make_pixel_features("pixels"), PixelsEmbedder(), cache=cache, **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A set, and which of its masks are damaged, and how; two of its images are one, with different masks."""
    folder = tmp_path_factory.mktemp("scans")
    kinds = make_damaged(folder)
    images, labels = folder / "img" / "train", folder / "labels" / "train"
    shutil.copy(images / "000.png", images / "copy.png")
    mask = read_png((labels / "000.png").read_bytes()).copy()
    mask[mask == mask.max()] = 0
    (labels / "copy.png").write_bytes(write_png(mask))
    return folder, kinds | {"train/copy.png": "dropped"}


@pytest.fixture(scope="module")
def audit(made: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> MaskAudit:
    return audit_of(read_masks(made[0]), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def written(audit: MaskAudit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "audit"
    write_mask_audit(audit, folder, title="scans", pictures=5)
    return folder


def test_damaged_masks_come_first(audit: MaskAudit, made: tuple[Path, dict[str, str]]) -> None:
    wrong = np.array([scene.image in made[1] for scene in audit.scenes])
    assert len(audit) == 101
    assert wrong.sum() == 16
    assert average_precision_score(wrong, audit.suspicion) > 0.7  # by chance .16
    assert wrong[audit.suspects].sum() >= 8
    assert wrong[audit.suspects].mean() > 0.6
    # the place that is pointed at is what was damaged, more often than not
    found = [
        np.logical_and(audit.region(row), audit.given(row) != audit.predicted(row)).any()
        for row in audit.suspects.tolist()
    ]
    assert np.mean(found) > 0.8


def test_one_image_with_two_masks_is_named(audit: MaskAudit) -> None:
    names = [{audit.scenes[row].image for row in one.rows} for one in audit.twins]
    assert {"train/000.png", "train/copy.png"} in names
    assert all(one.dice < 0.9 for one in audit.twins)


def test_the_tables_have_a_row_a_mask(audit: MaskAudit, written: Path) -> None:
    with (written / "issues.csv").open() as file:
        rows = list(csv.DictReader(file))
    plain = [json.loads(line) for line in (written / "issues.jsonl").open()]
    assert [row["image"] for row in rows] == [row["image"] for row in plain]
    assert [row["image"] for row in rows] == [scene.image for scene in audit.scenes]
    for row, (cells, values) in enumerate(zip(rows, plain, strict=True)):
        assert (
            float(cells["suspicion"]) == values["suspicion"] == pytest.approx(audit.suspicion[row], abs=1e-4)
        )
        assert (cells["status"] == "suspect") == audit.judgement.suspect[row]
        assert bool(cells["reason"]) >= audit.judgement.suspect[row]
        known = [values[f"dice_{name}"] for name in audit.classes.names if values[f"dice_{name}"] is not None]
        assert np.mean(known) == pytest.approx(values["dice"], abs=2e-4)
        assert 0 <= values["suspected"] <= 1
    assert len(list((written / "suspects").glob("*.png"))) == min(5, len(audit.suspects))
    with Image.open(next((written / "suspects").glob("0001-*.png"))) as picture:
        assert picture.width > 4 * picture.height / 2


def test_the_report_shows_the_suspects_and_needs_nothing(audit: MaskAudit, written: Path) -> None:
    text = (written / "report.html").read_text()
    assert_alone(text)
    page = Page(text)
    pictures = [tag for tag, _ in page.tags if tag == "img"]
    assert len(pictures) == min(len(audit.suspects), 40) + min(len(audit.twins), 12)
    first = int(audit.suspects[0])
    for words in (
        audit.scenes[first].image,
        f"{audit.judgement.reason[first]}: ",
        f"{len(audit.suspects)} that a person should look at",
        "pairs of them have masks that differ",
        "Of the pixels of each given class",
    ):
        assert words in page.text


def test_words_of_the_set_are_words_on_the_page(audit: MaskAudit, tmp_path: Path) -> None:
    classes = MaskClasses(("background", EVIL, "{% raw %}", "=1+1"))
    scenes = [
        replace(scene, image=f"{EVIL}{n}", where=EVIL, split=EVIL) for n, scene in enumerate(audit.scenes)
    ]
    evil = replace(audit, classes=classes, scenes=scenes, problems=[Problem(EVIL, EVIL)])
    write_mask_audit(evil, tmp_path / "audit", title=EVIL, pictures=1)
    text = (tmp_path / "audit" / "report.html").read_text()
    assert_alone(text)
    assert EVIL in Page(text).text
    with (tmp_path / "audit" / "issues.csv").open() as file:
        header = next(csv.reader(file))
    assert not [name for name in header if name.startswith(("=", "+", "-", "@"))]


def test_one_part_is_judged_and_learned_from_all(made: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    found = read_masks(made[0])
    audit = audit_of(found, tmp_path, part="val")
    assert {scene.split for scene in audit.scenes} == {"val"}
    assert len(audit) == 20
    with pytest.raises(DatasetError, match="no part 'test'; there are train, val"):
        audit_of(found, tmp_path, part="test")


def test_what_other_parts_taught_is_judged(tmp_path: Path) -> None:
    """A class that one mask of the part has, and masks of another part; and one that no other mask has."""
    make_damaged(tmp_path / "set", 30, 0.0)
    labels = sorted((tmp_path / "set" / "labels").rglob("*.png"))
    for path in labels:
        mask = read_png(path.read_bytes()).copy()
        if path.parent.name == "val":
            mask[mask == 3] = 0
            mask[:12, :30] = 3 if path.stem == "004" else mask[:12, :30]
            mask[-12:, :30] = 4 if path.stem == "009" else mask[-12:, :30]
        path.write_bytes(write_png(mask))
    (tmp_path / "set" / "classes.txt").write_text("background\ndisc\nsquare\nbar\nonce\n")
    audit = audit_of(read_masks(tmp_path / "set"), tmp_path / "cache", part="val")
    reason = dict(
        zip((scene.path.stem for scene in audit.scenes if scene.path), audit.judgement.reason, strict=True)
    )
    assert reason["009"] == TOO_FEW
    assert reason["004"] != TOO_FEW


def test_a_part_of_which_nothing_is_left_is_named(tmp_path: Path) -> None:
    make_damaged(tmp_path / "set", 10, 0.0)
    for path in (tmp_path / "set" / "img" / "val").iterdir():
        path.write_bytes(b"torn")
    with pytest.raises(DatasetError, match=r"no mask of part 'val' can be used:\n.*004"):
        audit_of(read_masks(tmp_path / "set"), tmp_path / "cache", part="val", skip_problems=True)


def test_what_cannot_be_used_stops_it_or_is_left_out(
    made: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    shutil.copytree(made[0], folder)
    (folder / "labels" / "train" / "001.png").write_bytes(b"torn")
    (folder / "img" / "train" / "002.png").write_bytes(
        (folder / "img" / "train" / "002.png").read_bytes()[:500]
    )
    found = read_masks(folder)
    with pytest.raises(DatasetError, match=r"001\.png"):
        audit_of(found, tmp_path / "cache")
    audit = audit_of(found, tmp_path / "cache", skip_problems=True)
    assert len(audit) == 99
    assert len(audit.problems) == 2


def test_nothing_to_tell_apart_is_said(tmp_path: Path) -> None:
    make_damaged(tmp_path / "set", 4, 0.0)
    for path in (tmp_path / "set" / "labels").rglob("*.png"):
        path.write_bytes(write_png(np.zeros((64, 88), np.uint8)))
    with pytest.raises(DatasetError, match=r"cannot be audited: .*class 0 alone"):
        audit_of(read_masks(tmp_path / "set"), tmp_path / "cache")
