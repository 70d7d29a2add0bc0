"""Datasets go out and come back in every format, and what cannot be used is named by its place."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.datasets import (
    FORMATS,
    Dataset,
    DatasetError,
    Example,
    ReadOptions,
    WriteOptions,
    read_dataset,
    write_dataset,
)
from ml.datasets.cells import cell, value_of
from ml.datasets.find import find_image
from ml.datasets.folders import file_name, folder_name
from ml.datasets.label_studio import label_config

LABELS = ["red", "Katze, große", "=1+1", "a/b", None]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five images, two of the same name in different folders."""
    folder = tmp_path / "images"
    for number, name in enumerate(("0.png", "1.png", "2.png", "deep/0.png", "deep/with space.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number * 40, 0, 0)).save(path)
    return folder


@pytest.fixture
def dataset(images: Path) -> Dataset:
    """The images with labels that formats could stumble over, one without."""
    paths = sorted(images.rglob("*.png"))
    examples = [Example(path.name, label, path, path.name) for path, label in zip(paths, LABELS, strict=True)]
    return Dataset(images, examples)


def contents(dataset: Dataset) -> set[tuple[bytes, object]]:
    """What a dataset says: which image has which label."""
    return {(example.path.read_bytes() if example.path else b"", example.label) for example in dataset}


OUT = {
    "jsonl": "set.jsonl",
    "csv": "set.csv",
    "tsv": "set.tsv",
    "json": "set.json",
    "label-studio": "tasks.json",
    "folders": "set",
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("place", ["", "elsewhere/deeper"])
def test_every_format_comes_back_as_it_went_out(
    dataset: Dataset, tmp_path: Path, format: str, place: str
) -> None:
    out = tmp_path / place / OUT[format]
    assert write_dataset(dataset, out, format=format, options=WriteOptions(document_root=tmp_path)) == []
    # Label Studio's tasks say where an image is below the folder it serves
    options = ReadOptions(images=tmp_path) if format == "label-studio" else ReadOptions()
    back = read_dataset(out, options=options)
    assert contents(back) == contents(dataset)
    assert back.classes == sorted(label for label in LABELS if label)


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_kept(dataset: Dataset, tmp_path: Path, format: str) -> None:
    out = tmp_path / OUT[format]
    options = WriteOptions(document_root=tmp_path)
    write_dataset(dataset, out, format=format, options=options)
    with pytest.raises(FileExistsError, match="--force"):
        write_dataset(dataset, out, format=format, options=options)
    one = Dataset(dataset.source, dataset.examples[:1])
    write_dataset(one, out, format=format, options=options, force=True)
    back = read_dataset(out, options=ReadOptions(images=tmp_path) if format == "label-studio" else None)
    assert contents(back) == contents(one)


def test_a_writer_that_fails_leaves_nothing(dataset: Dataset, tmp_path: Path) -> None:
    bad = Dataset(dataset.source, [*dataset.examples, Example("x.png", ["a", "b"], None, "line 9")])
    for format in ("tsv", "folders"):
        with pytest.raises(DatasetError, match="one class an image"):
            write_dataset(bad, tmp_path / "out", format=format)
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


# reading --------------------------------------------------------------------------------------------


def test_jsonl_names_each_line_that_cannot_be_used(images: Path) -> None:
    path = images / "labels.jsonl"
    rows = [
        '{"image": "0.png", "label": "red"}',
        "",
        "not json",
        '["0.png"]',
        '{"picture": "0.png"}',
        '{"image": "9.png"}',
        '{"image": "1.png", "label": {"a": 1}}',
        '{"image": "1.png", "label": 7, "note": "kept"}',
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"5 of 7 entries cannot be used.*--skip-problems") as caught:
        read_dataset(path)
    for words in (
        "labels.jsonl, line 3: is not JSON",
        "line 4: is not an object",
        "line 5: has no 'image', only 'picture'",
        f"line 6: there is no image 9.png in {images}",
        "line 7: 'label' must be the name of a class",
    ):
        assert words in str(caught.value)
    found = read_dataset(path, skip_problems=True)
    assert [(one.image, one.label, one.more) for one in found] == [
        ("0.png", "red", {}),
        ("1.png", "7", {"note": "kept"}),
    ]
    assert len(found.problems) == 5


def test_a_csv_of_another_program(images: Path) -> None:
    path = images / "labels.csv"
    path.write_text("\ufefffilename;species;note\n0.png;cat;'tis\n1.png;;x\n2.png;dog\n", encoding="utf-8")
    options = ReadOptions(label_column="species")
    found = read_dataset(path, options=options, skip_problems=True)
    assert [(one.image, one.label) for one in found] == [("0.png", "cat"), ("1.png", None)]
    assert found.examples[0].more == {"note": "'tis"}
    assert [str(problem) for problem in found.problems] == [
        "labels.csv, line 4: has fewer cells than the header"
    ]
    with pytest.raises(DatasetError, match=r"has no column 'breed': its columns are 'filename', 'species'"):
        read_dataset(path, options=ReadOptions(label_column="breed"))


def test_tsv_in_one_file_or_many_beside_the_images(images: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "a.tsv").write_text("0.png\tred\r\n1.png\tblue\n", encoding="utf-8")
    (lists / "b.tsv").write_text("2.png\n\n", encoding="utf-8")
    found = read_dataset(lists)
    assert [(one.image, one.label) for one in found] == [("0.png", "red"), ("1.png", "blue"), ("2.png", None)]
    (lists / "c.tsv").write_text("2.png\tred\tblue\n\tred\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"more than a name and a class(.|\n)*no name before the tab"):
        read_dataset(lists)


def test_folders_without_classes_are_images_without_labels(images: Path) -> None:
    (images / ".hidden").mkdir()
    (images / ".hidden" / "no.png").write_bytes(b"")
    (images / "notes.txt").write_text("none")
    found = read_dataset(images)
    assert {(one.image, one.label) for one in found} == {
        ("0.png", None),
        ("1.png", None),
        ("2.png", None),
        ("deep/0.png", "deep"),
        ("deep/with space.png", "deep"),
    }


def choices(*names: str, **more: object) -> dict[str, object]:
    """An annotation of Label Studio's export."""
    region = {"type": "choices", "from_name": "x", "to_name": "y", "value": {"choices": list(names)}}
    return {"result": [region], "was_cancelled": False, "ground_truth": False, **more}


def test_label_studio_s_export(images: Path, tmp_path: Path) -> None:
    def task(number: int, uri: object, *annotations: dict[str, object]) -> dict[str, object]:
        return {"id": number, "data": {"text": "photo", "photo": uri}, "annotations": list(annotations)}

    tasks = [
        task(1, "/data/local-files/?d=deep/with%20space.png", choices("red"), choices("blue")),
        task(2, "/data/upload/7/1.png", choices("red", ground_truth=True), choices("blue")),
        task(3, "s3://bucket/else/2.png", choices("red"), choices("no", was_cancelled=True)),
        task(4, "https://host/away.png"),
        task(5, "0.png", choices("a", "b")),
        {"image": "0.png", "choice": "red"},
        {"id": 7, "data": {"text": "no image"}},
    ]
    path = tmp_path / "project.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    found = read_dataset(path, options=ReadOptions(images=images), skip_problems=True)
    assert [(one.where, one.label, one.path and one.path.name) for one in found] == [
        ("project.json, task 1", "blue", "with space.png"),
        ("project.json, task 2", "red", "1.png"),
        ("project.json, task 3", "red", "2.png"),
        ("project.json, task 4", None, None),
    ]
    for problem, words in zip(
        found.problems,
        ("task 5: has several classes, a, b", "task 6: is no task", "--image-column"),
        strict=True,
    ):
        assert words in str(problem)
    # a task whose image is elsewhere stays a URI, whatever it becomes
    write_dataset(found, tmp_path / "out.jsonl")
    assert '"https://host/away.png"' in (tmp_path / "out.jsonl").read_text()


def test_a_task_names_no_file_outside_the_folders(images: Path, tmp_path: Path) -> None:
    assert (images / "0.png").is_file()
    (tmp_path / "apart").mkdir()
    for outside in ("/data/local-files/?d=../images/0.png", "https://host/a/../../images/0.png"):
        assert find_image(outside, [tmp_path / "apart"]) is None
    assert find_image("/data/local-files/?d=images/0.png", [tmp_path]) == tmp_path / "images" / "0.png"


def test_of_several_controls_of_an_export_one_must_be_named(images: Path, tmp_path: Path) -> None:
    [kind, other] = [choices("red")["result"], choices("good")["result"]]
    assert isinstance(kind, list)
    assert isinstance(other, list)
    other[0]["from_name"] = "quality"
    path = tmp_path / "project.json"
    task = {"id": 1, "data": {"image": "0.png"}, "annotations": [{"result": [*kind, *other]}]}
    path.write_text(json.dumps([task]), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"several controls, quality, x.*--label-column"):
        read_dataset(path, options=ReadOptions(images=images))
    with pytest.raises(DatasetError, match="no choices of a control 'colour'; it has quality, x"):
        read_dataset(path, options=ReadOptions(images=images, label_column="colour"))
    for control, label in (("x", "red"), ("quality", "good")):
        [one] = read_dataset(path, options=ReadOptions(images=images, label_column=control))
        assert one.label == label


def test_label_studio_needs_to_serve_the_images(dataset: Dataset, tmp_path: Path) -> None:
    for options, words in (
        (WriteOptions(), "--document-root"),
        (WriteOptions(document_root=tmp_path / "images" / "deep"), "is not below"),
    ):
        with pytest.raises(DatasetError, match=words):
            write_dataset(dataset, tmp_path / "tasks.json", format="label-studio", options=options)
    assert '<Choice value="a &amp; b"/>' in label_config(["a & b"])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", "", "has no image"),
        ("a.json", "{}", "must hold a JSON array, not dict"),
        ("a.json", "[", "is not JSON"),
        ("a.csv", "x,y\n1,2\n", "has no column 'image'"),
        ("a.xyz", "", "looks like no format"),
        ("a.tsv", "\xe4", "not text in UTF-8"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match=words):
        read_dataset(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read_dataset(tmp_path / "missing.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="read as folders, has no image"):
        read_dataset(tmp_path / "empty")
    with pytest.raises(DatasetError, match="unknown format 'parquet'"):
        read_dataset(tmp_path / "empty", format="parquet")


# names and cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["../up", "..", "a/b", "C:\\x", "", ".hidden", "50%", "nul\0", "end."])
def test_no_class_name_leaves_the_folder(label: str, tmp_path: Path) -> None:
    name = folder_name(label)
    assert name
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_two_classes_never_share_a_folder(labels: list[str]) -> None:
    assert folder_name(labels[0]) != folder_name(labels[1])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/upload/7/0a1b2c3d-my%20cat.JPG", "1-0a1b2c3d-my_cat.jpg"),
        ("/data/local-files/?d=set/a%20b.png", "1-a_b.png"),
        ("s3://bucket/x/../y.jpeg", "1-y.jpeg"),
        ("https://host/image?id=1", "1-image.png"),
        ("data:image/png;base64,AAAA", "1-image.png"),
        ("../../etc/passwd", "1-passwd.png"),
    ],
)
def test_file_names_are_the_task_and_the_images_own_name(image: str, name: str) -> None:
    assert file_name(Example(image, "x", more={"task": 1}), b"\x89PNG") == name
    assert file_name(Example(image, "x"), b"\x89PNG") == name.removeprefix("1-")


@given(st.text(max_size=12))
def test_no_cell_begins_like_a_formula_and_every_value_comes_back(text: str) -> None:
    written = cell(text)
    assert not written.startswith(tuple("=+-@\t\r\n＝＋－＠"))
    assert value_of(written) == text


def test_several_classes_are_a_list_in_json_and_one_readable_cell_in_csv(tmp_path: Path) -> None:
    sets = [Example("s3://b/1.png", ["cat", "big, dog"], where="1"), Example("s3://b/2.png", [], where="2")]
    write_dataset(sets, tmp_path / "sets.jsonl")
    assert [one.label for one in read_dataset(tmp_path / "sets.jsonl")] == [["cat", "big, dog"], []]
    write_dataset(sets, tmp_path / "sets.csv")
    with (tmp_path / "sets.csv").open(encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ['cat, "big, dog"', "none"]
