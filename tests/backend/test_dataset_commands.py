"""`lineup select`, `evaluate` and `propagate` as they are typed, on images of scikit-learn's digits."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from backend.cli import app

COUNT = 500


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 500 digits in `images/`, lists of the first 80 and of all, and vectors of them in `cache/`."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "images").mkdir()
    X, y = load_digits(return_X_y=True)
    order = random.Random(0).sample(range(len(y)), COUNT)
    for number, row in enumerate(order):
        pixels = (X[row].reshape(8, 8) * 15.9).astype(np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(folder / "images" / f"{number}.png")
    lines = [json.dumps({"image": f"images/{n}.png", "label": str(y[row])}) for n, row in enumerate(order)]
    (folder / "first.jsonl").write_text("\n".join(lines[:80]), encoding="utf-8")
    (folder / "rest.jsonl").write_text("\n".join(lines[80:]), encoding="utf-8")
    (folder / "all.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def lineup(digits: Path, *arguments: object) -> tuple[int, str]:
    """Run a command on pixels; return its exit code and what it said, in one line."""
    backbone = (
        [] if "--finish" in arguments else ["--backbone", "pixels"]
    )  # --finish knows it from the folder
    more = [*backbone, "--cache", digits / "cache"]
    done = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *more)])
    return done.exit_code, " ".join(done.output.split())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["auto", "margin", "vae", "mixture"])
def test_select_names_the_next_batch(digits: Path, tmp_path: Path, method: str) -> None:
    common = ("select", "--images", digits / "images", "--labels", digits / "first.jsonl", "--add", 12)
    code, said = lineup(
        digits, *common, "--method", method, "--out", tmp_path / "next.csv", "--seed", 3,
        "--copy-to", tmp_path / "next", "--sheet", tmp_path / "next.png",
    )  # fmt: skip
    assert code == 0, said
    assert f"Chose 12 of 420 images by {method}" in said
    chosen = rows(tmp_path / "next.csv")
    paths = [(tmp_path / row["image"]).resolve() for row in chosen]
    assert len({int(path.stem) for path in paths if int(path.stem) >= 80}) == 12
    assert {row["suggestion"] for row in chosen} <= set("0123456789")
    assert sorted(path.name for path in (tmp_path / "next").glob("[!.]*")) == sorted(
        path.name for path in paths
    )
    assert Image.open(tmp_path / "next.png").size == (8 * 134 + 6, 2 * 150 + 6)
    code, _ = lineup(digits, *common, "--method", method, "--out", tmp_path / "again.csv", "--seed", 3)
    assert rows(tmp_path / "again.csv") == chosen
    code, said = lineup(digits, *common, "--out", tmp_path / "next.csv")
    assert code == 1
    assert "--force" in said


def test_select_begins_without_labels_and_refuses_nonsense(digits: Path, tmp_path: Path) -> None:
    common = ("select", "--images", digits / "images", "--add", 5, "--out", tmp_path / "next.csv")
    code, said = lineup(digits, *common)
    assert code == 0, said
    assert "without a model: nothing is labelled yet" in said
    assert {row["suggestion"] for row in rows(tmp_path / "next.csv")} == {""}
    for more, words in (
        (("--method", "vibes"), "unknown query strategy 'vibes'"),
        (("--task", "detection"), "not for 'detection'"),
        (("--labels", digits / "all.jsonl"), "labelled already"),
        (("--labels", tmp_path / "missing.csv"), "there is no file or folder"),
    ):
        code, said = lineup(digits, *common, *more, "--force")
        assert code == 1
        assert words in said


def test_evaluate_says_what_labels_are_worth(digits: Path, tmp_path: Path) -> None:
    parts = ("--train", digits / "first.jsonl", "--validation", digits / "rest.jsonl")
    code, said = lineup(digits, "evaluate", *parts, "--json")
    assert code == 0, said
    found = json.loads(said)
    assert found["macro_f1"] > 0.7
    assert found["macro_f1"] == pytest.approx(np.mean(list(found["f1"].values())))
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["validation"] == 420
    assert np.trace(confusion) / 420 == pytest.approx(found["accuracy"])
    code, said = lineup(
        digits, "evaluate", "--train", digits / "all.jsonl", "--validation", digits / "rest.jsonl"
    )
    assert "420 images are in both parts" in said
    assert "macro F1" in said
    one = tmp_path / "one.jsonl"
    one.write_text(json.dumps({"image": str(digits / "images/0.png"), "label": "x"}), encoding="utf-8")
    code, said = lineup(digits, "evaluate", "--train", one, "--validation", digits / "rest.jsonl")
    assert code == 1
    assert "cannot teach" in said


def test_propagate_asks_people_and_spreads_their_answers(digits: Path, tmp_path: Path) -> None:
    out = tmp_path / "spread"
    code, said = lineup(
        digits, "propagate", "--labels", digits / "first.jsonl", "--images", digits / "images", "--out", out,
        "--precision", 0.9, "--truth", digits / "all.jsonl",
    )  # fmt: skip
    assert code == 0, said
    report = json.loads((out / "report.json").read_text())
    assert report["pool"] == 420
    assert 0.02 < report["share_to_label"] < 0.8
    assert report["propagated_right"] >= 0.88
    assert f"{report['to_label']}" in said

    truth = {Path(row["image"]).name: row["label"] for row in map(json.loads, (digits / "all.jsonl").open())}
    asked = [json.loads(line) for line in (out / "to_label.jsonl").open()]
    assert len(asked) == report["to_label"]
    assert [row["margin"] for row in asked] == sorted(row["margin"] for row in asked)
    assert Image.open(out / "map.png").size[0] > 500
    answers = tmp_path / "answers.jsonl"
    half = asked[: len(asked) // 2]
    answers.write_text(
        "\n".join(
            json.dumps({"image": row["image"], "label": truth[Path(row["image"]).name]}) for row in half
        )
    )
    code, said = lineup(
        digits, "propagate", "--finish", answers, "--out", out, "--truth", digits / "all.jsonl"
    )
    assert code == 0, said
    assert "Of all labels, 9" in said
    assert "Of labels that nobody gave, " in said
    labels = [json.loads(line) for line in (out / "labels.jsonl").open()]
    assert len({row["image"] for row in labels}) == COUNT
    right = {source: [] for source in ("labelled", "person", "propagated")}
    for row in labels:
        assert (out / row["image"]).is_file()
        right[row["source"]].append(row["label"] == truth[Path(row["image"]).name])
    assert all(right["labelled"])
    assert all(right["person"])
    assert len(right["person"]) == len(half)
    assert len(right["propagated"]) == 420 - len(half)
    assert np.mean(right["propagated"]) > 0.92
    # what was written by both halves is written over together
    common = ("--labels", digits / "first.jsonl", "--images", digits / "images", "--out", out, "--force")
    code, said = lineup(digits, "propagate", *common, "--labels", answers, "--budget", 10)
    assert code == 0, said
    report = json.loads((out / "report.json").read_text())
    assert report["labelled"] == 80 + len(half)
    assert (report["to_label"], report["propagated"] + report["left"]) == (10, 420 - len(half) - 10)


def test_propagate_needs_both_to_begin_and_its_own_folder_to_end(digits: Path, tmp_path: Path) -> None:
    code, said = lineup(digits, "propagate", "--images", digits / "images", "--out", tmp_path / "x")
    assert code == 2
    assert "--labels and --images are needed" in said
    code, said = lineup(digits, "propagate", "--finish", digits / "first.jsonl", "--out", tmp_path)
    assert code == 1
    assert "was not written by lineup propagate" in said
