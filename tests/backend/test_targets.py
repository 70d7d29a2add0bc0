"""From tasks to labels, and what counts as reviewed."""

from __future__ import annotations

from dataclasses import replace

from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.multilabel import MultiLabelKind
from backend.snapshot import AnnotationRecord, History, Snapshot, TaskRecord
from backend.targets import annotation_state, build_targets, first_labels, reviewed

KIND = ChoicesKind("cls", "img", "image", ("cat", "dog"))
MANY = MultiLabelKind("cls", "img", "image", ("cat", "dog"))


def annotation(number: int, *labels: str, by: int = 1, at: str = "2026-01-01T00:00:00Z") -> AnnotationRecord:
    result = [{"from_name": "cls", "to_name": "img", "type": "choices", "value": {"choices": list(labels)}}]
    return AnnotationRecord(number, by, False, False, at, at, result)


def task(number: int, *annotations: AnnotationRecord, labeled: bool = True) -> TaskRecord:
    return TaskRecord(number, {"image": f"{number}.png"}, labeled, "2026-01-01T00:00:00Z", annotations)


def test_arrays_follow_the_task_ids() -> None:
    tasks = {9: task(9, labeled=False), 3: task(3, annotation(1, "dog", by=4)), 5: replace(task(5), data={})}
    targets = build_targets(Snapshot(tasks=tasks), KIND, ())
    assert targets.ids.tolist() == [3, 5, 9]
    assert targets.labels.tolist() == [1, -1, -1]
    assert targets.annotators == [4, None, None]
    assert targets.uris == ["3.png", None, "9.png"]
    assert targets.unfinished.tolist() == [False, False, True]


def test_the_digest_follows_labels_contents_classes_and_embedder_and_nothing_else() -> None:
    one = build_targets(Snapshot(tasks={1: task(1, annotation(1, "cat")), 2: task(2)}), KIND, ())
    same = build_targets(Snapshot(tasks={1: task(1, annotation(8, "cat", by=2)), 3: task(3)}), KIND, ())
    other = build_targets(Snapshot(tasks={1: task(1, annotation(1, "dog"))}), KIND, ())
    digest = one.digest(KIND, "pixels", ["aa", "bb"])
    assert digest == same.digest(KIND, "pixels", ["aa", None])
    assert digest != other.digest(KIND, "pixels", ["aa"])
    assert digest != one.digest(KIND, "pixels", ["cc", "bb"])
    assert digest != one.digest(KIND, "pixels", [None, "bb"])
    assert digest != one.digest(KIND, "timm", ["aa", "bb"])
    assert digest != one.digest(replace(KIND, classes=("cat", "dog", "cow")), "pixels", ["aa", "bb"])


def test_no_class_is_a_label_of_its_own_where_several_may_hold() -> None:
    tasks = {
        1: task(1, annotation(1)),
        2: task(2, annotation(2, "dog", "cat")),
        3: task(3, labeled=False),
        4: task(4, replace(annotation(3), was_cancelled=True)),
    }
    targets = build_targets(Snapshot(tasks=tasks), MANY, ())
    assert targets.labelled.tolist() == [True, True, False, False]
    assert targets.labels.tolist() == [[0, 0], [1, 1], [-1, -1], [-1, -1]]
    assert first_labels(targets, MANY, {}) == [History(1, "none", 1), History(2, "cat, dog", 1)]
    without = build_targets(Snapshot(tasks={**tasks, 1: task(1)}), MANY, ())
    digest = targets.digest(MANY, "pixels", list("abcd"))
    assert digest != without.digest(MANY, "pixels", list("abcd"))
    assert digest == targets.digest(MANY, "pixels", ["a", "b", "e", None])


def test_the_first_label_seen_is_kept() -> None:
    targets = build_targets(
        Snapshot(tasks={1: task(1, annotation(1, "cat")), 2: task(2, annotation(2, "dog"))}), KIND, ()
    )
    assert first_labels(targets, KIND, {1: History(1, "dog")}) == [History(2, "dog", 1)]


def test_reviewed_means_touched_since_it_was_suspect() -> None:
    shown = task(1, annotation(1, "cat"))
    histories = {1: History(1, "cat", 1, annotation_state(shown))}
    for later, expected in (
        (shown, False),
        (replace(shown, updated_at="2027-01-01T00:00:00Z", data={"image": "1.png", "x": 1}), False),
        (task(1, annotation(1, "dog", at="2026-02-01T00:00:00Z")), True),
        (task(1, annotation(1, "cat", at="2026-02-01T00:00:00Z")), True),
        (task(1, annotation(1, "cat"), annotation(2, "dog", by=2)), True),
        (task(1, replace(annotation(1, "cat"), ground_truth=True)), True),
        (task(1, annotation(1, "cat"), replace(annotation(2, "dog"), was_cancelled=True)), False),
        (task(1), False),
    ):
        targets = build_targets(Snapshot(tasks={1: later}), KIND, ())
        assert reviewed(targets, histories).tolist() == [expected]
