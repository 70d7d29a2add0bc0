"""What an exported row says of a label."""

from __future__ import annotations

import pytest

from backend.export.rows import as_record, build_rows, revise
from backend.settings import Settings
from backend.snapshot import History
from backend.targets import annotation_state
from tests.backend.export.exported import KIND, MANY, annotation, row, task


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None)


def test_a_label_nobody_doubts_is_kept(settings: Settings) -> None:
    tasks = [task(1, annotation("cat"), suspicion=0.2, suggestion="cat", confidence=0.95)]
    (only,) = build_rows(tasks, KIND, {1: History(1, "cat", 3)}, {3: "ann@example.com"}, settings, 0.5)
    assert only == row(1, suspicion=0.2, confidence=0.95)


def test_a_label_changed_since_first_seen_is_corrected_and_keeps_what_was_given(settings: Settings) -> None:
    tasks = [task(1, annotation("dog"), suspicion=0.9)]
    (only,) = build_rows(tasks, KIND, {1: History(1, "cat", 3)}, {}, settings, 0.5)
    assert (only.status, only.given, only.label) == ("corrected", "cat", "dog")


@pytest.mark.parametrize(("suspicion", "status"), [(0.49, "kept"), (0.5, "suspect"), (1, "suspect")])
def test_suspects_begin_at_the_review_threshold(settings: Settings, suspicion: float, status: str) -> None:
    (only,) = build_rows([task(1, annotation("cat"), suspicion=suspicion)], KIND, {}, {}, settings, 0.5)
    assert only.status == status


def test_a_suspect_is_kept_once_a_person_has_confirmed_it(settings: Settings) -> None:
    raw = task(1, annotation("cat"), suspicion=0.8)
    shown = annotation_state(as_record(raw))
    histories = {1: History(1, "cat", 3, suspected_state=shown)}
    assert build_rows([raw], KIND, histories, {}, settings, 0.5)[0].status == "suspect"
    raw["annotations"][0]["updated_at"] = "2026-01-05T00:00:00.000000Z"
    assert build_rows([raw], KIND, histories, {}, settings, 0.5)[0].status == "kept"


def test_only_labelled_tasks_have_rows(settings: Settings) -> None:
    tasks = [
        task(1),
        task(2, annotation("cat", was_cancelled=True)),
        task(3, annotation("cow")),
        task(4, annotation("dog")),
    ]
    assert [r.task for r in build_rows(tasks, KIND, {}, {}, settings, 0.5)] == [4]


def test_unjudged_labels_have_no_suspicion(settings: Settings) -> None:
    (only,) = build_rows([task(1, annotation("cat"))], KIND, {}, {}, settings, 0.5)
    assert (only.suspicion, only.suggestion, only.annotator) == (None, None, "3")


def test_suspects_are_dropped_on_request_and_nothing_else() -> None:
    rows = [row(1), row(2, status="suspect"), row(3, status="corrected")]
    revision = revise(rows, KIND.classes, drop_suspects=True)
    assert [r.task for r in revision.rows] == [1, 3]
    assert revision.dropped == 1


def test_confident_suggestions_replace_suspect_labels_only() -> None:
    rows = [
        row(1, status="suspect", suggestion="dog", confidence=0.9),
        row(2, status="suspect", suggestion="dog", confidence=0.7),
        row(3, status="corrected", suggestion="dog", confidence=0.9),
        row(4, suggestion="dog", confidence=0.9),
    ]
    revision = revise(rows, KIND.classes, apply_suggestions=0.8)
    assert [r.label for r in revision.rows] == ["dog", "cat", "cat", "cat"]
    assert revision.applied == 1
    assert revision.rows[0].status == "suspect"
    assert revision.rows[0].given == "cat"


def test_with_both_wishes_a_suspect_is_dropped_where_its_suggestion_is_not_applied() -> None:
    rows = [row(n, status="suspect", suggestion="dog", confidence=c) for n, c in ((1, 0.9), (2, 0.5))]
    revision = revise(rows, KIND.classes, drop_suspects=True, apply_suggestions=0.8)
    assert [(r.task, r.label) for r in revision.rows] == [(1, "dog")]
    assert (revision.dropped, revision.applied) == (1, 1)


def test_a_suggestion_of_a_former_label_config_is_not_applied() -> None:
    rows = [row(1, status="suspect", suggestion="cow", confidence=0.9)]
    assert revise(rows, KIND.classes, apply_suggestions=0.5).rows[0].label == "cat"


def test_sets_are_lists_of_classes(settings: Settings) -> None:
    tasks = [
        task(1, annotation("dog", "cat"), suspicion=0.9, suggestion="none", confidence=0.9),
        task(2, annotation(), suspicion=0.1, suggestion="cat"),
        task(3),
        task(4, annotation("cat")),
    ]
    histories = {1: History(1, "cat, dog"), 2: History(2, "dog"), 4: History(4, "cat, horse")}
    rows = build_rows(tasks, MANY, histories, {}, settings, 0.5)
    assert [(r.task, r.label, r.given, r.suggestion, r.status) for r in rows] == [
        (1, ["cat", "dog"], ["cat", "dog"], [], "suspect"),
        (2, [], ["dog"], ["cat"], "corrected"),
        (4, ["cat"], ["cat", "horse"], None, "corrected"),
    ]
    applied = revise(rows, MANY.classes, apply_suggestions=0.8)
    assert (applied.rows[0].label, applied.applied) == ([], 1)


def test_a_suggested_set_with_a_class_that_is_gone_is_not_applied() -> None:
    rows = [row(1, label=["cat"], status="suspect", suggestion=["cat", "cow"], confidence=0.9)]
    assert revise(rows, MANY.classes, apply_suggestions=0.5).rows[0].label == ["cat"]
