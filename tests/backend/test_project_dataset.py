"""A real Label Studio's project is read as a dataset, and a dataset becomes a project."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fetch import ImageFetcher
from backend.new_project import import_tasks, served_folders
from backend.settings import get_settings
from ml.datasets import DatasetError, read_dataset
from ml.datasets.label_studio import choose, label_config
from tests.backend.cli.typed import lineup

TWO = (
    '<View><Image name="img" value="$image"/><Choices name="kind" toName="img"><Choice value="cat"/>'
    '<Choice value="dog"/></Choices><Choices name="quality" toName="img"><Choice value="good"/>'
    '<Choice value="bad"/></Choices></View>'
)


@pytest.fixture
def given(label_studio: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of the real Label Studio."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def make_photos(folder: Path) -> Path:
    """Five images of two classes, one image without a label."""
    for number, place in enumerate(("red", "red", "blue", "blue", "")):
        path = folder / place / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number * 50, 0, 90)).save(path)
    return folder


def made_project(said: str) -> int:
    return int(said.split("Project ")[1].split(maxsplit=1)[0])


def contents(path: Path) -> dict[bytes, Any]:
    """Each image's bytes, with its label."""
    return {one.path.read_bytes(): one.label for one in read_dataset(path) if one.path}


@pytest.mark.usefixtures("given")
def test_a_dataset_becomes_a_project_and_a_dataset_again(
    tmp_path: Path, label_studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos")
    code, said = lineup("convert", photos, "project:new", "--project-title", "Photos there and back")
    assert code == 0, said
    assert "with 5 tasks, 4 labelled, 2 classes" in said
    project = made_project(said)
    assert label_studio.api("GET", f"/api/projects/{project}/")["title"] == "Photos there and back"
    # a second annotation agrees, a third does not: the majority counts, not the newest
    first = min(
        task["id"] for task in label_studio.api("GET", f"/api/projects/{project}/export?exportType=JSON")
    )
    for label in ("blue", "red"):
        label_studio.api("POST", f"/api/tasks/{first}/annotations/", {"result": choose(label)})
    cache = ("--cache", tmp_path / "cache")
    code, said = lineup("convert", f"project:{project}", tmp_path / "by-class", "--to", "folders", *cache)
    assert code == 0, said
    assert contents(tmp_path / "by-class") == contents(photos)
    # what was fetched once stays
    monkeypatch.setattr(ImageFetcher, "fetch", None)
    code, said = lineup("convert", f"project:{project}", tmp_path / "labels.jsonl", *cache)
    assert code == 0, said
    assert contents(tmp_path / "labels.jsonl") == contents(photos)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").open()]
    assert first in {row["task"] for row in rows}
    assert {row["source"].rpartition("/")[2] for row in rows} == {f"{number}.png" for number in range(5)}


@pytest.mark.usefixtures("given")
def test_images_that_cannot_be_had_are_named_or_left_out(tmp_path: Path, label_studio: Any) -> None:
    project = made_project(lineup("convert", make_photos(tmp_path / "photos"), "project:new")[1])
    [lost] = label_studio.import_tasks(project, [{"data": {"image": "/data/upload/1/no-such-file.png"}}])
    [empty] = label_studio.import_tasks(project, [{"data": {"image": ""}}])
    command = ("convert", f"project:{project}", tmp_path / "labels.jsonl", "--cache", tmp_path / "cache")
    code, said = lineup(*command)
    assert code == 1
    assert f"project {project}, task {lost}: image /data/upload/1/no-such-file.png" in said
    assert f"project {project}, task {empty}: has no image" in said
    assert not (tmp_path / "labels.jsonl").exists()
    code, said = lineup(*command, "--skip-problems")
    assert code == 0, said
    assert "Wrote 5 images" in said


@pytest.mark.usefixtures("given")
def test_a_broken_image_may_be_mended_behind_the_same_uri(tmp_path: Path, label_studio: Any) -> None:
    project = made_project(lineup("convert", make_photos(tmp_path / "photos"), "project:new")[1])
    folder = label_studio.files_dir / "mended"
    folder.mkdir(parents=True)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "mended"}
    label_studio.api("POST", "/api/storages/localfiles", storage)
    (folder / "one.png").write_bytes(b"not yet")
    uri = "/data/local-files/?d=mended/one.png"
    [task] = label_studio.import_tasks(project, [{"data": {"image": uri}}])
    command = ("convert", f"project:{project}", tmp_path / "labels.jsonl", "--cache", tmp_path / "cache")
    code, said = lineup(*command)
    assert code == 1
    assert f"task {task}: image {uri}: the file is not an image" in said
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "one.png")
    code, said = lineup(*command)
    assert code == 0, said
    code, said = lineup(
        "select", "--images", f"project:{project}", "--add", 2, "--out", tmp_path / "next.csv",
        "--copy-to", tmp_path / "next", "--backbone", "pixels", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert code == 0, said
    rows = list(csv.DictReader((tmp_path / "next.csv").open()))
    assert str(task) in {row["task"] for row in rows}
    assert (tmp_path / "next" / f"{task}-one.png").read_bytes() == (folder / "one.png").read_bytes()


@pytest.mark.usefixtures("given")
def test_of_several_controls_one_must_be_named(tmp_path: Path, label_studio: Any) -> None:
    project = label_studio.create_project("two controls", TWO)
    image = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    results = [
        {"from_name": name, "to_name": "img", "type": "choices", "value": {"choices": [value]}}
        for name, value in (("kind", "cat"), ("quality", "good"))
    ]
    label_studio.import_tasks(project, [{"data": {"image": image}, "annotations": [{"result": results}]}])
    command = ("convert", f"project:{project}", tmp_path / "labels.jsonl", "--cache", tmp_path / "cache")
    code, said = lineup(*command)
    assert code == 1
    assert "several choices on an image, kind, quality" in said
    assert "--label-column" in said
    code, said = lineup(*command, "--label-column", "colour")
    assert code == 1
    assert "no <Choices> 'colour'" in said
    code, said = lineup(*command, "--label-column", "quality")
    assert code == 0, said
    assert json.loads((tmp_path / "labels.jsonl").read_text())["label"] == "good"


@pytest.mark.usefixtures("given")
def test_images_in_folders_side_by_side_are_served_where_they_are(tmp_path: Path, label_studio: Any) -> None:
    root = label_studio.files_dir
    for name in ("first", "second"):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (len(name) * 9, 0, 0)).save(root / name / "one.png")
    lines = [{"image": f"{name}/one.png", "label": name} for name in ("first", "second")]
    source = tmp_path / "labels.jsonl"
    source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    code, said = lineup("convert", source, "project:new", "--images", root, "--document-root", root)
    assert code == 0, said
    for task in label_studio.api("GET", f"/api/projects/{made_project(said)}/export?exportType=JSON"):
        answer = httpx.get(
            label_studio.url + task["data"]["image"],
            headers={"Authorization": f"Token {label_studio.token}"},
            trust_env=False,
        )
        assert answer.content == (root / task["data"]["source"]).read_bytes()
    Image.new("RGB", (8, 8)).save(root / "bare.png")
    (root / "bare.jsonl").write_text('{"image": "bare.png"}\n{"image": "first/one.png"}', encoding="utf-8")
    with pytest.raises(DatasetError, match="lies directly in"):
        served_folders(read_dataset(root / "bare.jsonl").examples, root)


@pytest.mark.usefixtures("given")
def test_a_project_stands_wherever_a_dataset_does(tmp_path: Path) -> None:
    """Digits, three in four of them labelled, in a project that every command reads."""
    made, X = tmp_path / "digits", load_digits()
    rows = np.flatnonzero(X.target < 4)[:80].tolist()
    for number, row in enumerate(rows):
        folder = made / str(X.target[row]) if number % 4 else made
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(X.images[row] * 15)).resize((32, 32)).save(folder / f"{row}.png")
    code, said = lineup("convert", made, "project:new")
    assert code == 0, said
    source, cache = f"project:{made_project(said)}", ("--cache", tmp_path / "cache")
    pixels = ("--backbone", "pixels", *cache)
    for arguments, words in (
        (
            ("select", "--images", source, "--add", 5, "--out", tmp_path / "next.csv", *pixels),
            "5 of 20 images",
        ),
        (("evaluate", "--train", source, "--validation", source, *pixels), "on 60 images, learned from 60"),
        (("split", source, tmp_path / "parts", *cache), "48 images"),
        (("clean", source, "--out", tmp_path / "out.csv", *pixels), "of 80 images"),
        (("audit", source, "--out", tmp_path / "audit", "--map", "pca", *pixels), "60, 4 classes"),
        (
            ("propagate", "--images", source, "--out", tmp_path / "spread", *pixels),
            "of 20 images got a label",
        ),
    ):
        code, said = lineup(*arguments)
        assert code == 0, said
        assert words in said
    written = read_dataset(tmp_path / "audit" / "corrected_labels.jsonl")
    assert all(one.path and one.path.is_file() for one in written)
    assert len(written) == 80


def test_annotations_that_an_import_lost_are_made_up_for(label_studio: Any) -> None:
    """On SQLite, Label Studio tries an import that met another write again, without annotations and predictions."""

    class Losing(LabelStudioClient):
        def request(self, method: str, path: str, **more: Any) -> Any:
            if path.endswith("/import"):
                more["json"] = [{"data": task["data"]} for task in more["json"]]
            return super().request(method, path, **more)

    project = label_studio.create_project("lost", label_config(["cat", "dog"]))
    tasks = [
        {"data": {"image": "s3://bucket/1.png"}, "annotations": [{"result": choose("cat")}]},
        {"data": {"image": "s3://bucket/2.png"}, "predictions": [{"result": choose("dog"), "score": 0.5}]},
        {"data": {"image": "s3://bucket/3.png"}},
    ]
    with Losing(label_studio.url, label_studio.token) as client:
        ids = import_tasks(client, project, tasks)
    found = [label_studio.api("GET", f"/api/tasks/{task_id}/") for task_id in ids]
    assert [len(task["annotations"]) for task in found] == [1, 0, 0]
    assert [len(task["predictions"]) for task in found] == [0, 1, 0]
    assert found[1]["predictions"][0]["result"][0]["value"]["choices"] == ["dog"]


def test_what_is_no_project_is_told_before_anything_is_read(tmp_path: Path) -> None:
    photos = make_photos(tmp_path)
    for arguments, words in (
        (("convert", "project:seven", tmp_path / "x.jsonl"), "project:seven names no project"),
        (("convert", photos, "project:7"), "a project is never written over"),
        (("convert", photos, "project:new", "--to", "csv"), "--to csv says nothing"),
        (("convert", "project:7", tmp_path / "x.jsonl", "--from", "csv"), "--from csv says nothing"),
    ):
        code, said = lineup(*arguments)
        assert code == 2
        assert words in said
