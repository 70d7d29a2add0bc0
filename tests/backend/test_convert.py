"""`lineup convert` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

from backend.cli import app
from tests.ml.mask_sets.made import make_set


def lineup(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and all it said."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def make_photos(folder: Path) -> Path:
    """A list of two classes beside a folder of images, one of them missing."""
    (folder / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (4, 4), (number * 80, 0, 0)).save(folder / "photos" / f"{number}.png")
    path = folder / "labels.tsv"
    path.write_text("0.png\tred\n1.png\tblue\n2.png\n9.png\tred\n", encoding="utf-8")
    return path


def test_what_cannot_be_used_stops_it_or_is_left_out(tmp_path: Path) -> None:
    source, out = make_photos(tmp_path), tmp_path / "out" / "labels.jsonl"
    code, said = lineup("convert", source, out, "--images", tmp_path / "photos")
    assert code == 1
    assert "labels.tsv, line 4: there is no image 9.png" in said.replace("\n", "")
    assert not out.exists()
    code, said = lineup("convert", source, out, "--images", tmp_path / "photos", "--skip-problems")
    assert code == 0
    assert "Wrote 3 images" in said
    assert "2 labelled, 2 classes" in said.replace("\n", " ")
    assert "left out" in said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[1] == {"image": "../photos/1.png", "label": "blue"}
    code, said = lineup("convert", out, tmp_path / "by-class")
    assert code == 0
    assert sorted(
        path.relative_to(tmp_path / "by-class").as_posix() for path in tmp_path.glob("by-class/*/*")
    ) == [
        "blue/1.png",
        "red/0.png",
    ]
    code, said = lineup("convert", out, tmp_path / "by-class")
    assert code == 1
    assert "--force" in said


def test_tasks_for_label_studio_come_with_their_label_config(tmp_path: Path) -> None:
    source = make_photos(tmp_path)
    code, said = lineup(
        "convert", source, tmp_path / "tasks.json", "--to", "label-studio", "--document-root", tmp_path,
        "--images", tmp_path / "photos", "--skip-problems",
    )  # fmt: skip
    assert code == 0
    assert '<Choice value="blue"/>' in said
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[0]["data"] == {"image": "/data/local-files/?d=photos/0.png"}
    assert "annotations" not in tasks[2]
    code, said = lineup(
        "convert", source, tmp_path / "tasks2.json", "--images", tmp_path / "photos", "--skip-problems"
    )
    assert code == 1
    assert "say which with --to" in said.replace("\n", " ")


def test_masks_go_into_formats_of_masks_and_the_cost_is_told(tmp_path: Path) -> None:
    source = make_set(tmp_path / "scans")
    code, said = lineup("convert", source, tmp_path / "exact.json", "--to", "coco")
    assert code == 0
    assert said.strip() == f"Wrote 5 masks to {tmp_path / 'exact.json'}, 3 classes: nothing was lost."
    code, said = lineup("convert", source, tmp_path / "near.json", "--to", "coco-polygons", "--tolerance", 2)
    assert code == 0
    assert "% of the pixels are of another class than before" in said
    code, said = lineup("convert", tmp_path / "exact.json", tmp_path / "again")
    assert code == 0
    for mask in sorted((source / "labels").rglob("*.png")):
        other = tmp_path / "again" / mask.relative_to(source)
        assert other.read_bytes() == mask.read_bytes()
    code, said = lineup(
        "convert",
        source,
        tmp_path / "tasks.json",
        "--to",
        "label-studio-polygons",
        "--document-root",
        tmp_path,
    )
    assert code == 0
    assert '<PolygonLabels name="polygon" toName="image">' in said
    assert '<Label value="dog" background=' in said


def test_masks_that_cannot_be_converted(tmp_path: Path) -> None:
    source = make_set(tmp_path / "scans")
    (source / "labels" / "val" / "0.png").unlink()
    code, said = lineup("convert", source, tmp_path / "out.json", "--to", "coco")
    assert code == 1
    assert "val/0.jpg: has no mask in labels" in said
    code, said = lineup("convert", source, tmp_path / "out.json", "--to", "coco", "--skip-problems")
    assert code == 0
    assert "Wrote 4 masks" in said
    assert "left out (1)" in said
    code, said = lineup("convert", source, tmp_path / "out.json", "--to", "coco", "--skip-problems")
    assert code == 1
    assert "--force" in said
    code, said = lineup("convert", source, tmp_path / "other.json", "--skip-problems")
    assert code == 1
    assert "say which with --to" in said
    code, said = lineup("convert", source, tmp_path / "o", "--to", "nothing")
    assert code == 1
    assert "unknown format 'nothing'" in said
    few = ("--classes", "background,cat", "--skip-problems", "--to", "masks")
    code, said = lineup("convert", source, tmp_path / "few", *few)
    assert code == 1
    assert "numbers of no class: 2" in said
    code, said = lineup("convert", source, tmp_path / "few", *few, "--ignore", 2)
    assert code == 0
