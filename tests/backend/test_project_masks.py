"""Masks become a real Label Studio's project, and a project is read wherever masks are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.import_masks import import_masks
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch import ImageFetcher
from backend.settings import get_settings
from ml.datasets import DatasetError
from ml.mask_sets import read_masks
from ml.masks.png import write_png
from tests.backend.cli.typed import lineup
from tests.ml.mask_sets.made import NAMES, make_set


@pytest.fixture
def given(label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of the real Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def made_project(said: str) -> int:
    return int(said.split("Project ")[1].split(maxsplit=1)[0])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a set, by its place."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.usefixtures("given")
def test_masks_become_a_project_and_the_same_files_again(
    tmp_path: Path, label_studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_set(tmp_path / "scans")
    cache = ("--cache", tmp_path / "cache")
    # masks as they are written here, so that files can be compared
    assert lineup("convert", made, tmp_path / "before")[0] == 0
    code, said = lineup("convert", tmp_path / "before", "project:new", "--project-title", "Scans")
    assert code == 0, said
    assert "with 5 tasks, 3 classes: nothing was lost" in said
    project = made_project(said)
    assert label_studio.api("GET", f"/api/projects/{project}/")["title"] == "Scans"
    label_studio.import_tasks(project, [{"data": {"image": "/data/upload/1/nobody-has-done-it.png"}}])
    source = f"project:{project}"
    code, said = lineup("convert", source, tmp_path / "after", *cache)
    assert code == 0, said
    assert "Wrote 5 masks" in said
    assert "1 that nobody has done" in said
    assert contents(tmp_path / "after") == contents(tmp_path / "before")
    # another order of the classes; without a background, what nobody has drawn on is not labelled
    code, said = lineup("convert", source, tmp_path / "other", "--classes", "dog,cat", *cache)
    assert code == 0, said
    before, other = read_masks(tmp_path / "before"), read_masks(tmp_path / "other")
    for one, two in zip(before, other, strict=True):
        assert np.array_equal(np.array([255, 1, 0])[before.mask(one)], other.mask(two))
    # what was fetched once stays
    monkeypatch.setattr(ImageFetcher, "fetch", None)
    code, said = lineup("check", source, "--backbone", "none", *cache)
    assert code == 0, said
    assert "train (3)" in said
    code, said = lineup("overlay", source, "--out", tmp_path / "sheet.png", *cache)
    assert code == 0, said
    assert "Drew 5 masks" in said


@pytest.mark.usefixtures("given")
def test_polygons_come_back_within_their_tolerance(tmp_path: Path, label_studio: Any) -> None:
    made = make_set(tmp_path / "scans")
    polygons = ("--to", "label-studio-polygons")
    code, said = lineup("convert", made, "project:new", *polygons, "--tolerance", 1)
    assert code == 0, said
    told = float(said.split("classes: ")[1].split("%")[0]) / 100
    assert 0 < told < 0.1
    project = made_project(said)
    assert "<PolygonLabels" in label_studio.api("GET", f"/api/projects/{project}/")["label_config"]
    code, said = lineup("convert", f"project:{project}", tmp_path / "back", "--cache", tmp_path / "cache")
    assert code == 0, said
    before, after = read_masks(made), read_masks(tmp_path / "back")
    assert after.classes.names == NAMES
    masks = {f"{one.split}/{Path(one.image).name}": before.mask(one) for one in before}
    again = {f"{one.split}/{Path(one.image).name}": after.mask(one) for one in after}
    changed = sum(int((masks[name] != again[name]).sum()) for name in masks)
    assert changed / sum(mask.size for mask in masks.values()) == pytest.approx(told, abs=1e-5)
    exact = lineup("convert", made, "project:new", *polygons, "--tolerance", 0)[1]
    assert "nothing was lost" in exact


@pytest.mark.usefixtures("given")
def test_broken_masks_make_no_project_or_are_left_out(tmp_path: Path, label_studio: Any) -> None:
    made = make_set(tmp_path / "scans")
    (made / "labels" / "val" / "0.png").write_bytes(write_png(np.full((40, 56), 9, np.uint8)))
    before = label_studio.api("GET", "/api/projects/")["count"]
    code, said = lineup("convert", made, "project:new")
    assert code == 1
    assert "labels/val/0.png: the mask has numbers of no class: 9" in said
    assert label_studio.api("GET", "/api/projects/")["count"] == before
    code, said = lineup("convert", made, "project:new", "--skip-problems")
    assert code == 0, said
    assert "with 4 tasks" in said
    assert "left out (1)" in said


def test_what_label_studio_does_not_keep_is_no_project(tmp_path: Path, label_studio: Any) -> None:
    """An import that drops or changes a mask is found out by reading it back."""

    class Losing(LabelStudioClient):
        def get(self, path: str, params: Any = None) -> Any:
            answer = super().get(path, params)
            for task in answer["tasks"][1:2] if path == "/api/tasks/" else ():
                task["annotations"][0]["result"] = task["annotations"][0]["result"][:1]
            return answer

    found = read_masks(make_set(tmp_path / "scans"))
    before = label_studio.api("GET", "/api/projects/")["count"]
    with (
        Losing(label_studio.url, label_studio.token) as client,
        pytest.raises(DatasetError, match=r"of 5 masks, 1 came back from Label Studio as others"),
    ):
        import_masks(client, found, title="losing")
    assert label_studio.api("GET", "/api/projects/")["count"] == before


BOTH = (
    '<View><Image name="img" value="$image"/><Choices name="kind" toName="img"><Choice value="cat"/>'
    '<Choice value="dog"/></Choices><BrushLabels name="tag" toName="img"><Label value="cat"/></BrushLabels></View>'
)


@pytest.mark.usefixtures("given")
def test_what_is_meant_is_told_or_asked_for(tmp_path: Path, label_studio: Any) -> None:
    both = f"project:{label_studio.create_project('both', BOTH)}"
    code, said = lineup("convert", both, tmp_path / "out")
    assert code == 2
    assert "classes of whole images and masks: say which are meant, --to FORMAT" in said
    code, said = lineup("convert", both, tmp_path / "out", "--to", "mmseg")
    assert code == 1
    assert "no task with a mask that can be used; it has 0 tasks" in said
    code, said = lineup("overlay", both, "--from", "mmseg")
    assert code == 2
    assert "--from mmseg says nothing" in said
    code, said = lineup("convert", make_set(tmp_path / "scans"), "project:new", "--to", "coco")
    assert code == 1
    assert "a project has its masks as label-studio-brush or label-studio-polygons" in said
    boxes = label_studio.create_project(
        "boxes",
        '<View><Image name="i" value="$image"/><RectangleLabels name="r" toName="i"><Label value="a"/>'
        "</RectangleLabels></View>",
    )
    code, said = lineup("convert", f"project:{boxes}", tmp_path / "out")
    assert code == 1
    assert "the label config has <RectangleLabels>" in said
