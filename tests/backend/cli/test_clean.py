"""`lineup clean`: planted images of another kind are found, and it is told how well."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from ml.cleaning import judge_outliers, score_outliers
from ml.datasets import write_dataset
from tests.backend.cli.typed import lineup
from tests.ml.training.made import digits, scrambled


def test_planted_junk_is_found_and_every_method_judged(tmp_path: Path) -> None:
    write_dataset(digits(tmp_path / "digits", 150), tmp_path / "labels.csv")
    scrambled(tmp_path / "junk", 9)
    scrambled(tmp_path / "digits" / "strange", 3)
    more = "".join(f"digits/strange/{number}.png,7\n" for number in range(3))
    (tmp_path / "labels.csv").write_text((tmp_path / "labels.csv").read_text() + more)
    base = ("clean", tmp_path / "labels.csv", "--backbone", "pixels", "--cache", tmp_path / "cache",
            "--out", tmp_path / "outliers.csv", "--method", "dbscan")  # fmt: skip
    code, said = lineup(*base, "--junk", tmp_path / "junk", "--kept", tmp_path / "kept.jsonl")
    assert code == 0, said
    assert "9 planted among 162 images" in said
    assert all(name in said for name in ("knn_distance", "dbscan", "isolation_forest"))
    with (tmp_path / "outliers.csv").open() as file:
        rows = list(csv.DictReader(file))
    listed = {row["image"] for row in rows}
    assert listed & {f"digits/strange/{number}.png" for number in range(3)}
    assert not any("junk" in name for name in listed)
    assert list(rows[0]) == ["image", "label", "knn_distance", "isolation_forest", "dbscan"]
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 153 - len(rows)
    code, said = lineup(*base)
    assert code == 1
    assert "--force" in said
    code, said = lineup(*base, "--force", "--method", "forest")
    assert code == 1
    assert "no outlier method 'forest'" in said
    code, said = lineup(*base, "--force", "--junk", tmp_path / "gone")
    assert code == 1
    assert "gone" in said


def test_a_method_is_judged_by_what_it_puts_first() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.6, 0.2])
    found = judge_outliers(scores, np.array([True, False, False, True, False]))
    assert found.precision_at_junk == 0.5
    assert (found.listed, found.recall) == (3, 1.0)
    assert round(found.precision, 3) == round(2 / 3, 3)
    assert round(found.average_precision, 3) == round((1 + 2 / 3) / 2, 3)


def test_strangers_among_digits_come_first() -> None:
    images = load_digits().images[:315].reshape(315, -1)
    images[300:] = np.random.default_rng(0).permuted(images[300:], axis=1)
    scores = score_outliers(images.astype(np.float32))
    for name in ("knn_distance", "dbscan", "isolation_forest"):
        worth = judge_outliers(scores[name], np.arange(315) >= 300)
        # what a lot would have is the share of strangers, 0.05
        assert worth.average_precision > 0.5, name
