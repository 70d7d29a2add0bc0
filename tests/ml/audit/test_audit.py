"""Planted errors are found, and corrected where that is sure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ml.audit import Findings, audit, find, learn_from_vectors, take_predictions
from ml.audit.corrections import choose_corrections
from ml.audit.sections import against_truth
from ml.datasets import Dataset, DatasetError, Example
from ml.datasets.embedding import Embedded
from ml.embedders.pixels import PixelsEmbedder
from ml.suspicion.reasons import DUPLICATE, TOO_FEW
from tests.ml.audit.planted import plant

CLASSES = [str(digit) for digit in range(10)]


def embedded_digits(n: int) -> Embedded:
    """Digits whose vectors are their pixels."""
    X = load_digits().data[:n].astype(np.float32)
    examples = [Example(f"{row}.png", None, None, f"row {row}") for row in range(n)]
    measures = np.tile(np.array([32, 32, 0.9, 0.1, 60, 30, 7], dtype=np.float32), (n, 1))
    return Embedded(examples, [f"{row:032x}" for row in range(n)], X, measures)


def find_in(embedded: Embedded, labels: np.ndarray) -> Findings:
    evidence = learn_from_vectors(embedded.vectors, labels, 10, embedded.keys)
    return find(embedded, labels, CLASSES, evidence)


def test_planted_errors_come_first_and_their_number_is_known(found: Findings) -> None:
    measured = against_truth(found)
    assert measured is not None
    assert measured["wrong"] == 70
    assert measured["average_precision"] > 0.97
    assert 0.7 < found.expected_wrong / 70 < 1.3
    assert measured["listed_wrong"] >= 60
    assert measured["corrected"] >= 35
    assert measured["corrected_right"] >= 0.97 * measured["corrected"]


def test_the_wanted_precision_of_corrections_holds() -> None:
    truth = load_digits().target[:1_000]
    embedded = embedded_digits(len(truth))
    made, right, planted = {0.8: 0, 0.9: 0}, {0.8: 0, 0.9: 0}, 0
    for seed, share in enumerate((0.02, 0.1, 0.3)):
        labels = plant(truth, share, seed)
        planted += int((labels != truth).sum())
        evidence = learn_from_vectors(embedded.vectors, labels, 10, embedded.keys)
        for precision in made:
            found = find(embedded, labels, CLASSES, evidence, precision=precision)
            rows = np.array(found.status) == "corrected"
            made[precision] += int(rows.sum())
            right[precision] += int((found.suggestion == truth)[rows].sum())
    for precision, count in made.items():
        assert right[precision] >= precision * count
        assert count > 0.3 * planted


def test_a_higher_precision_corrects_a_part_of_what_a_lower_one_does() -> None:
    labels = plant(load_digits().target[:500], 0.1)
    embedded = embedded_digits(500)
    evidence = learn_from_vectors(embedded.vectors, labels, 10, embedded.keys)
    chosen = []
    for precision in (0.6, 0.9, 1.0):
        found = find(embedded, labels, CLASSES, evidence, precision=precision)
        rows = {row for row, status in enumerate(found.status) if status == "corrected"}
        assert all(found.right[row] >= precision for row in rows)
        chosen.append(rows)
    assert chosen[0] > chosen[1] > chosen[2]


@pytest.mark.parametrize("precision", [0.0, 1.1])
def test_a_precision_out_of_range_is_refused(precision: float) -> None:
    one = np.zeros(1, dtype=np.int64)
    with pytest.raises(ValueError, match="wanted precision of corrections"):
        choose_corrections(one, np.ones((1, 2)) / 2, one, np.ones(1), np.ones(1, dtype=bool), precision)


def test_images_without_a_label_are_looked_at_and_get_a_suggestion() -> None:
    truth = load_digits().target[:400]
    labels = truth.copy()
    labels[300:] = -1
    found = find_in(embedded_digits(400), labels)
    assert found.status[300:] == ["unlabelled"] * 100
    assert (found.suggestion[300:] == truth[300:]).mean() > 0.8
    assert np.isnan(found.suspicion[300:]).all()
    assert np.isfinite(found.suspicion[:300]).all()
    assert found.corrected_label(350) is None


def test_a_class_with_one_image_is_not_judged() -> None:
    labels = load_digits().target[:200].copy()
    labels[labels == 9] = 8
    labels[7] = 9
    found = find_in(embedded_digits(200), labels)
    assert found.status[7] == "kept"
    assert found.reason[7] == TOO_FEW


def test_a_copy_with_another_label_names_its_twin() -> None:
    embedded = embedded_digits(200)
    labels = load_digits().target[:200].copy()
    embedded.vectors[1] = embedded.vectors[0]
    keys = [embedded.keys[0] if row == 1 else key for row, key in enumerate(embedded.keys)]
    found = find_in(replace(embedded, keys=keys), labels)
    assert labels[0] != labels[1]
    assert found.reason[0] == f"{DUPLICATE}: 1.png"
    assert found.reason[1] == f"{DUPLICATE}: 0.png"


def test_predictions_made_elsewhere_lead_to_the_same_findings() -> None:
    labels = plant(load_digits().target[:500], 0.1)
    embedded = embedded_digits(500)
    ours = learn_from_vectors(embedded.vectors, labels, 10, embedded.keys)
    theirs = take_predictions(
        ours.probs,
        embedded.vectors,
        labels,
        embedded.keys,
        ours.folds,
        method="networks",
        members=[np.log(ours.probs), np.log(ours.probs)],
    )
    one, other = (find(embedded, labels, CLASSES, evidence) for evidence in (ours, theirs))
    assert one.status == other.status
    assert np.allclose(one.statistics["neighbour_agreement"], other.statistics["neighbour_agreement"])
    assert np.allclose(other.statistics["disagreement"], 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([None, None], "none of the 2 images has a label"),
        (["cat", "cat", None], "all 2 labels are 'cat'"),
        (["cat", ["cat", "dog"]], "row 1: 1.png has several classes, cat, dog"),
    ],
)
def test_labels_that_cannot_be_audited_are_refused_before_any_image_is_read(
    labels: list[object], message: str, tmp_path: Path
) -> None:
    examples = [
        Example(f"{row}.png", label, tmp_path / "none.png", f"row {row}")  # type: ignore[arg-type]
        for row, label in enumerate(labels)
    ]
    with pytest.raises(DatasetError, match=message):
        audit(Dataset(tmp_path, examples), PixelsEmbedder(), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_column_of_truth_that_is_not_there_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no further column 'wahr' .* there are truth, given"):
        audit(dataset, PixelsEmbedder(), cache=tmp_path, truth="wahr")
