"""`lineup audit` as it is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli import app
from tests.ml.audit.planted import make_digits


def lineup(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and all it said, in one line."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture
def quick(tmp_path: Path) -> list[object]:
    """Options that need no weights, keep to the test's folder and draw little."""
    return ["--embedder", "pixels", "--cache", tmp_path / "cache", "--map", "pca", "--pictures", 2]


def test_a_dataset_is_audited_beside_itself(tmp_path: Path, quick: list[object]) -> None:
    source = make_digits(tmp_path / "set", 250, 0.1)
    code, said = lineup("audit", source, "--truth", "truth", *quick)
    assert code == 0, said
    numbers = re.search(r"corrected, of these right │ (\d+), (\d+)", said)
    assert numbers is not None
    assert int(numbers[1]) >= int(numbers[2]) >= 5
    assert "known to be wrong │ 25 of 250" in said
    folder = source.parent / "labels-audit"
    assert {path.name for path in folder.iterdir()} >= {"issues.csv", "report.html", "suspects"}
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    rows = [json.loads(line) for line in (source.parent / "corrected_labels.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [
        json.loads(line)["image"] for line in source.read_text().splitlines()
    ]
    corrected = [row for row in rows if row["status"] == "corrected"]
    assert len(corrected) == int(numbers[1])
    assert sum(row["label"] == row["truth"] for row in corrected) == int(numbers[2])
    code, said = lineup("audit", source, *quick)
    assert code == 1
    assert "--force" in said
    code, said = lineup("audit", source, *quick, "--force", "--no-parquet")
    assert code == 0
    assert not (folder / "issues.parquet").exists()


def test_broken_images_stop_it_or_are_left_out(tmp_path: Path, quick: list[object]) -> None:
    source = make_digits(tmp_path / "set", 120, 0.1)
    (source.parent / "images" / "0003.png").write_bytes(b"torn [red]")
    (source.parent / "images" / "0005.png").unlink()
    code, said = lineup("audit", source, "--out", tmp_path / "out", *quick)
    assert code == 1
    assert "labels.jsonl, line 6: there is no image images/0005.png" in said
    code, said = lineup("audit", source, "--out", tmp_path / "out", "--skip-problems", *quick)
    assert code == 0, said
    assert "left out │ 2" in said
    assert "labels.jsonl, line 4: image images/0003.png: the file is not an image" in said
    rows = (tmp_path / "out" / "corrected_labels.jsonl").read_text().splitlines()
    assert len(rows) == 118
    assert json.loads(rows[0])["image"] == "../set/images/0000.png"
    assert "0003.png" in (tmp_path / "out" / "report.html").read_text()


def test_what_cannot_be_audited_is_said_in_a_line(tmp_path: Path, quick: list[object]) -> None:
    code, said = lineup("audit", tmp_path / "nowhere.jsonl", *quick)
    assert code == 1
    assert "there is no file or folder" in said
    empty = tmp_path / "empty"
    empty.mkdir()
    code, said = lineup("audit", empty, *quick)
    assert code == 1
    assert "has no image" in said
    source = make_digits(tmp_path / "set", 20, 0.0)
    rows = [json.loads(line) for line in source.read_text().splitlines()]
    for label, words in (("7", "all 20 labels are '7'"), (None, "none of the 20 images has a label")):
        source.write_text("".join(json.dumps({**row, "label": label}) + "\n" for row in rows))
        code, said = lineup("audit", source, *quick)
        assert code == 1
        assert words in said
    assert not (tmp_path / "set" / "labels-audit").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "2"], "--precision"),
        (["--map", "globe"], "--map"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, options: list[str], words: str) -> None:
    code, said = lineup("audit", tmp_path, *options)
    assert code == 2
    assert words in said


def test_an_unknown_embedder_is_named(tmp_path: Path) -> None:
    source = make_digits(tmp_path / "set", 20, 0.1)
    code, said = lineup("audit", source, "--embedder", "crystal-ball", "--cache", tmp_path / "cache")
    assert code == 1
    assert "unknown embedder 'crystal-ball'" in said
