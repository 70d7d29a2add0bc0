"""Splits: stratified, by group, repeatable, and refused where they cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.datasets import DatasetError
from ml.training.material import large_classes
from ml.training.split import fold_rows, read_split, split_rows, write_split
from tests.ml.training.made import coloured

LABELS = ["a"] * 80 + ["b"] * 20


def test_every_class_has_the_same_share_on_both_sides() -> None:
    train, valid = split_rows(LABELS, 0.25, seed=3)
    assert sorted([*train, *valid]) == list(range(100))
    assert [sum(LABELS[row] == name for row in valid) for name in "ab"] == [20, 5]
    again, other = split_rows(LABELS, 0.25, seed=3)[1], split_rows(LABELS, 0.25, seed=4)[1]
    assert np.array_equal(valid, again)
    assert not np.array_equal(valid, other)


def test_a_group_stays_together() -> None:
    groups = [number // 4 for number in range(100)]
    train, valid = split_rows(LABELS, 0.25, groups=groups)
    assert not {groups[row] for row in train} & {groups[row] for row in valid}
    assert 15 <= len(valid) <= 35
    assert {LABELS[row] for row in valid} == {"a", "b"}
    folds = fold_rows(LABELS, 5, groups=groups)
    assert all(len({int(folds[row]) for row in range(100) if groups[row] == one}) == 1 for one in set(groups))


def test_folds_are_stratified() -> None:
    folds = fold_rows(LABELS, 5, seed=1)
    assert [
        [int((folds[rows] == fold).sum()) for rows in (slice(80), slice(80, 100))] for fold in range(5)
    ] == [[16, 4]] * 5


@pytest.mark.parametrize(
    ("labels", "groups", "said"),
    [
        (["a"] * 5, None, "only one class, a"),
        ([], None, "no labelled image"),
        (["a"] * 5 + ["b"], None, "classes with one image cannot be on both sides of a split: b"),
        (["a"] * 5 + ["b"] * 2, [1, 2, 3, 4, 5, 6, 6], "classes with one group"),
        (["a", "a", "b", "b"], None, "too little to hold all 2 classes"),
    ],
)
def test_what_cannot_be_split_is_refused(labels: list[str], groups: list[int] | None, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        split_rows(labels, 0.2, groups=groups)


def test_a_split_is_written_and_read(tmp_path: Path) -> None:
    examples = [
        replace(one, more={"patient": f"p{number // 6}"})
        for number, one in enumerate(coloured(tmp_path / "photos"))
    ]
    out = tmp_path / "parts"
    assert write_split(examples, out, 0.25) == (27, 9)
    assert json.loads((out / "classes.json").read_text()) == {"blue": 0, "green": 1, "red": 2}
    assert (out / "train_.csv").read_text().splitlines()[1].startswith("../photos/")
    parts = read_split(out)
    assert parts is not None
    assert sorted(one.path.name for part in parts for one in part) == [one.image for one in examples]
    with pytest.raises(FileExistsError, match="--force"):
        write_split(examples, out, 0.25)
    write_split(examples, out, 0.3, group_column="patient", force=True)
    parts = read_split(out)
    assert parts is not None
    assert not {one.more["patient"] for one in parts[0]} & {one.more["patient"] for one in parts[1]}
    with pytest.raises(DatasetError, match=r"no column 'ward' to group by; columns: patient"):
        write_split(examples, tmp_path / "other", 0.25, group_column="ward")
    assert read_split(tmp_path) is None


def test_small_classes_can_be_left_out(tmp_path: Path) -> None:
    examples = coloured(tmp_path, each=4)[:-3]
    assert {one.label for one in large_classes([*examples, replace(examples[0], label="once")], 2)} == {
        "red", "green", "blue",
    }  # fmt: skip
