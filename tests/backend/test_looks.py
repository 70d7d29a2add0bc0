"""What images say for themselves, and that it is computed once for the same images."""

from __future__ import annotations

import numpy as np
import pytest

from backend import looks
from backend.embedding import Embedded
from backend.looks import OFF, look
from ml.survey import Survey

# as `ml.quality.measure` gives for an ordinary photograph
GOOD = (640, 480, 0.8, 0.1, 60.0, 40.0, 7.0)
DARK = (640, 480, 0.2, 0.0, 60.0, 40.0, 7.0)
NOTHING = (np.nan,) * 7


def make(n: int = 60) -> Embedded:
    """Three broken, one dark, one not measured, one far out, and two nearly the same among good images."""
    vectors = np.random.default_rng(0).normal(0, 1, (n, 12)).astype(np.float32)
    vectors[3] *= 10
    vectors[5] = vectors[4] + 1e-4
    keys: list[str | None] = [f"{row:032x}" for row in range(n)]
    errors: list[str | None] = [None] * n
    measures = np.array([GOOD] * n, dtype=np.float32)
    measures[1], measures[2] = DARK, NOTHING
    keys[0], errors[0], vectors[0], measures[0] = None, "truncated", 0, NOTHING
    return Embedded(keys, vectors, errors, measures)


def test_each_task_gets_its_reason_whether_labelled_or_not() -> None:
    embedded = make()
    embedded.vectors[3, 0] += 100
    seen, _ = look(embedded, "knn_distance", None)
    agreement = np.full(60, np.nan)
    agreement[[1, 7, 8]] = 0.0, 0.0, 1.0
    reasons = seen.reasons(agreement)
    assert reasons[:6] == [
        "image unreadable",
        "annotators disagree",  # comes before what the image shows
        "",
        "outlier",
        "image near-duplicate",
        "image near-duplicate",
    ]
    assert reasons[7:9] == ["annotators disagree", ""]
    assert seen.image[1] == "image dark"
    assert seen.outlier[0] == 0


def test_off_looks_for_no_outliers_but_for_duplicates() -> None:
    seen, survey = look(make(), OFF, None)
    assert not seen.outlier.any()
    assert seen.groups[4] == seen.groups[5]
    assert survey.method is None


def test_the_same_images_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedded = make()
    first, survey = look(embedded, "knn_distance", None)
    calls: list[Survey | None] = []
    real = looks.make_survey

    def count(*args: object, warm: Survey | None) -> Survey:
        calls.append(warm)
        return real(*args, warm=warm)  # type: ignore[arg-type]

    monkeypatch.setattr(looks, "make_survey", count)
    again, kept = look(embedded, "knn_distance", survey)
    assert (calls, kept) == ([], survey)
    np.testing.assert_array_equal(first.outlier, again.outlier)
    look(embedded, "dbscan", survey)
    embedded.keys[7] = None
    look(embedded, "knn_distance", survey)
    assert calls == [survey, survey]


def test_no_images_and_one() -> None:
    for n in (0, 1, 2):
        embedded = Embedded(
            [f"{row:032x}" for row in range(n)],
            np.ones((n, 4), np.float32),
            [None] * n,
            np.array([GOOD] * n, np.float32).reshape(-1, 7),
        )
        seen, _ = look(embedded, "knn_distance", None)
        assert seen.outlier.tolist() == [0.0] * n
    broken = Embedded([None], np.zeros((1, 4), np.float32), ["gone"], np.full((1, 7), np.nan, np.float32))
    assert look(broken, "knn_distance", None)[0].reasons(np.array([np.nan])) == ["image unreadable"]
