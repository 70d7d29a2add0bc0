"""Copies of images neither vouch for each other nor get lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml.datasets import DatasetError, Example
from ml.datasets.embedding import Embedded
from ml.propagation.contents import copies, one_of_each
from ml.propagation.folder import finish_folder, write_propagated
from ml.propagation.propagate import propagate
from ml.quality import MEASURES
from ml.selection import without


def embedded(examples: list[Example], keys: list[str]) -> Embedded:
    vectors = np.array([[int(key, 16), 1.0] for key in keys], dtype=np.float32)
    return Embedded(examples, keys, vectors, np.ones((len(keys), len(MEASURES)), np.float32))


def test_one_image_of_each_content_is_labelled() -> None:
    rows = [
        Example(name, label, where=f"line {name}") for name, label in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert [one.image for one in one_of_each(embedded(rows, ["1", "1", "2"])).examples] == ["a", "c"]


def test_an_image_with_two_labels_is_named_or_left_out() -> None:
    rows = [
        Example(name, label, where=f"line {name}") for name, label in (("a", "x"), ("b", "y"), ("c", "y"))
    ]
    given = embedded(rows, ["1", "1", "2"])
    with pytest.raises(DatasetError, match="line a: a is 'x' here, and 'y' in line b"):
        one_of_each(given)
    left = one_of_each(given, skip_problems=True)
    assert [one.image for one in left.examples] == ["c"]
    assert [one.where for one in left.problems] == ["line a"]


def test_copies_get_the_label_of_their_content(tmp_path: Path) -> None:
    def example(name: str, label: str | None = None) -> Example:
        path = tmp_path / f"{name}.png"
        path.touch()
        return Example(path.name, label, path, name)

    labelled = embedded([example("low", "low"), example("high", "high")], ["10", "f0"])
    names = {"low": "10", "low again": "10", "l1": "14", "l2": "18", "h1": "e8", "h1 again": "e8", "h2": "e0"}
    images = embedded([example(name) for name in names], list(names.values()))
    pool = without(images, set(labelled.keys))
    twins = copies(images, labelled, pool)
    assert [one.where for one in twins] == ["low again", "h1 again"]
    found = propagate(labelled.vectors, np.array([0, 1]), 2, pool.vectors, labelled.keys, precision=1.0)
    folder = tmp_path / "spread"
    folder.mkdir()
    asked = pool.take(np.flatnonzero(found.ask))
    assert len(asked), "two labels can vouch for nothing"
    write_propagated(folder, labelled, pool, found, ["low", "high"], {"backbone": "none"}, twins)

    def embed(examples: list[Example]) -> Embedded:
        return embedded(
            examples, [{"low": "10", "high": "f0", **names}[Path(one.image).stem] for one in examples]
        )

    said = [Example(one.image, "high" if one.image[0] == "h" else "low", one.path) for one in asked.examples]
    done = finish_folder(folder, embed(said), embed)
    label = {Path(one.image).stem: one.label for one in done.examples}
    assert label == {name: "high" if name[0] == "h" else "low" for name in [*names, "high"]}
    assert len(done.examples) == len(done.keys) == len(label)
