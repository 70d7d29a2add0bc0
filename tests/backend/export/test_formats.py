"""What each format writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from backend.export.folders import file_name, folder_name

from backend.export import FORMATS
from backend.export.rows import COLUMNS, ExportRow
from backend.labelstudio.fetch import ImageFetchError
from tests.backend.export.exported import row

ROWS = [row(1, label="Katze, große"), row(2, label="dog", suspicion=None, status="corrected")]


def no_images(_: ExportRow) -> bytes:
    raise AssertionError("this format fetches no images")


def test_jsonl_is_an_object_a_line_that_begins_with_image_and_label(tmp_path: Path) -> None:
    FORMATS["jsonl"](ROWS, tmp_path / "out", no_images)
    lines = [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
    assert lines == [r.as_dict() for r in ROWS]
    assert list(lines[0])[:2] == ["image", "label"]


def test_json_is_one_array(tmp_path: Path) -> None:
    FORMATS["json"](ROWS, tmp_path / "out", no_images)
    assert json.loads((tmp_path / "out").read_text(encoding="utf-8")) == [r.as_dict() for r in ROWS]


def test_csv_has_a_header_and_quotes_what_needs_it(tmp_path: Path) -> None:
    FORMATS["csv"](ROWS, tmp_path / "out", no_images)
    with (tmp_path / "out").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert lines[0]["label"] == "Katze, große"
    assert lines[1]["suspicion"] == ""


FORMULAS = [
    "=cmd|'/c calc'!A1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "'=1",
    "''",
    "＝1",
    "a=1",
    "",
    "cat",
]


def test_no_csv_cell_begins_like_a_formula_and_every_value_can_be_had_back(tmp_path: Path) -> None:
    rows = [row(1, label=text, image=text, annotator=text, suggestion=text) for text in FORMULAS]
    FORMATS["csv"](rows, tmp_path / "out", no_images)
    with (tmp_path / "out").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line, text in zip(lines, FORMULAS, strict=True):
        for name in ("label", "image", "annotator", "suggestion"):
            assert not line[name].startswith(tuple("=+-@\t\r\n＝"))
            assert line[name].removeprefix("'") == text
        assert line["suspicion"] == "0.1"


def test_no_csv_list_begins_like_a_formula_either(tmp_path: Path) -> None:
    FORMATS["csv"]([row(1, label=["=1+1", "cat"])], tmp_path / "out", no_images)
    with (tmp_path / "out").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["label"] == "'=1+1, cat"


SETS = [row(1, label=["cat", "big, dog"], given=[], suggestion=None), row(2, label=[], given=["cat"])]


def test_sets_are_lists_in_json_and_one_readable_cell_in_csv(tmp_path: Path) -> None:
    FORMATS["jsonl"](SETS, tmp_path / "sets.jsonl", no_images)
    lines = [json.loads(line) for line in (tmp_path / "sets.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["label"], line["given"]) for line in lines] == [(["cat", "big, dog"], []), ([], ["cat"])]
    FORMATS["csv"](SETS, tmp_path / "sets.csv", no_images)
    with (tmp_path / "sets.csv").open(encoding="utf-8", newline="") as file:
        cells = [(line["label"], line["given"], line["suggestion"]) for line in csv.DictReader(file)]
    assert cells == [('cat, "big, dog"', "none", ""), ("none", "cat", "cat")]


def test_folders_refuse_sets_and_say_what_to_take(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--format jsonl, json or csv"):
        FORMATS["folders"](SETS, tmp_path / "out", no_images)


@pytest.mark.parametrize("name", ["jsonl", "csv", "json", "folders"])
def test_a_project_without_labels_gives_an_empty_export(tmp_path: Path, name: str) -> None:
    assert FORMATS[name]([], tmp_path / "out", no_images) == []
    assert (tmp_path / "out").exists()


def test_folders_copy_images_by_class_and_name_those_that_cannot_be_fetched(tmp_path: Path) -> None:
    def fetch(wanted: ExportRow) -> bytes:
        if wanted.task == 2:
            raise ImageFetchError(2, wanted.image, "gone")
        return b"\x89PNG1"

    left_out = FORMATS["folders"]([row(1), row(2), row(3, label="dog")], tmp_path / "out", fetch)
    assert (tmp_path / "out/cat/1-1.png").read_bytes() == b"\x89PNG1"
    assert (tmp_path / "out/dog/3-3.png").exists()
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_dir()) == ["cat", "dog"]
    assert len(left_out) == 1
    assert "task 2" in left_out[0]


@pytest.mark.parametrize("label", ["../up", "..", "a/b", "C:\\x", "", ".hidden", "50%", "nul\0", "end."])
def test_no_class_name_leaves_the_folder(label: str, tmp_path: Path) -> None:
    name = folder_name(label)
    assert name
    assert (tmp_path / name).parent == tmp_path
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_two_classes_never_share_a_folder() -> None:
    labels = ["a/b", "a%2Fb", "a:b", ".a", "a", "a."]
    assert len({folder_name(label) for label in labels}) == len(labels)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/upload/7/0a1b2c3d-my%20cat.JPG", "1-0a1b2c3d-my_cat.jpg"),
        ("/data/local-files/?d=set/a%20b.png", "1-a_b.png"),
        ("s3://bucket/x/../y.jpeg", "1-y.jpeg"),
        ("https://host/image?id=1", "1-image.png"),
        ("data:image/png;base64,AAAA", "1-image.png"),
    ],
)
def test_file_names_are_the_task_and_the_images_own_name(image: str, name: str) -> None:
    assert file_name(row(1, image=image), b"\x89PNG") == name
