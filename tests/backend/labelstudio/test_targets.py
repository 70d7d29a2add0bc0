import math
from dataclasses import replace

import pytest

from backend.labelstudio.config import find_kind
from backend.labelstudio.targets import resolve
from backend.snapshot import AnnotationRecord, TaskRecord
from tests.backend.labelstudio.projects import CONFIG, MANY, choice, choices

KIND = find_kind(CONFIG)


def vote(number, label, *, by=1, truth=False, imported=False, skipped=False, minute=None):
    stamp = f"2026-01-01T10:{number if minute is None else minute:02d}"
    touched = f"{stamp}:00.000050Z" if imported else f"{stamp}:05Z"
    result = choice(label) if label else []
    return AnnotationRecord(number, by, truth, skipped, f"{stamp}:00.000000Z", touched, result)


def label_of(*votes, reviewers=()):
    resolved = resolve(TaskRecord(5, {}, True, "", votes), KIND, reviewers)
    return resolved and KIND.classes[resolved.label]


def test_no_annotations_no_label():
    assert label_of() is None


def test_one_annotation_decides_and_is_named():
    resolved = resolve(TaskRecord(5, {}, True, "", (vote(1, "dog", by=9),)), KIND)
    assert (resolved.label, resolved.annotator, resolved.annotation.id) == (1, 9, 1)


@pytest.mark.parametrize("nothing", [vote(9, "dog", skipped=True), vote(9, ""), vote(9, "horse")])
def test_skips_and_unknown_labels_do_not_count(nothing):
    assert label_of(nothing) is None
    assert label_of(vote(1, "cat"), nothing) == "cat"


def test_majority_beats_newest():
    assert label_of(vote(1, "cat"), vote(2, "cat"), vote(3, "dog")) == "cat"


def test_tie_goes_to_the_newest_of_the_tied():
    assert label_of(vote(1, "cat"), vote(2, "dog")) == "dog"
    assert label_of(vote(1, "cat", minute=30), vote(2, "dog", minute=10)) == "cat"
    assert label_of(vote(1, "cat", minute=0), vote(2, "dog", minute=0)) == "dog"


def test_reviewer_beats_the_majority():
    votes = (vote(1, "dog", by=7), vote(2, "cat"), vote(3, "cat"))
    assert label_of(*votes) == "cat"
    assert label_of(*votes, reviewers=["7"]) == "dog"


def test_ground_truth_beats_the_majority():
    assert label_of(vote(1, "dog", truth=True), vote(2, "cat"), vote(3, "cat")) == "dog"


def test_an_import_is_no_ground_truth():
    imported = vote(1, "dog", truth=True, imported=True)
    assert label_of(imported) == "dog"
    assert label_of(imported, vote(2, "cat")) == "cat"


def test_imported_ground_truth_that_nobody_touched_does_not_overrule():
    imported = vote(1, "dog", truth=True, imported=True)
    assert label_of(imported) == "dog"
    assert label_of(imported, vote(2, "cat")) == "cat"
    assert label_of(imported, vote(2, "cat", by=7), vote(3, "dog"), reviewers=["7"]) == "cat"


def test_newest_of_those_who_overrule_wins():
    votes = (vote(1, "dog", truth=True), vote(2, "bird", by=7), vote(3, "cat"))
    assert label_of(*votes, reviewers=["7"]) == "bird"


def test_skipped_ground_truth_does_not_overrule():
    assert label_of(vote(1, "dog", truth=True, skipped=True), vote(2, "cat")) == "cat"


def test_annotation_without_an_author():
    assert label_of(vote(1, "dog", by=None), reviewers=["7"]) == "dog"


def agreement_of(*votes, reviewers=()):
    return resolve(TaskRecord(5, {}, True, "", votes), KIND, reviewers).agreement


def test_agreement_is_that_of_the_other_people():
    a, b = KIND.classes[:2]
    assert agreement_of(vote(1, a, by=1), vote(2, a, by=2), vote(3, b, by=3)) == 0.5
    assert agreement_of(vote(1, a, by=1), vote(2, b, by=2)) == 0
    assert agreement_of(vote(1, a, by=1), vote(2, a, by=2), vote(3, b, by=3, skipped=True)) == 1


def test_with_nobody_else_there_is_no_agreement():
    a, b = KIND.classes[:2]
    assert math.isnan(agreement_of(vote(1, a)))
    assert math.isnan(agreement_of(vote(1, a, by=1), vote(2, b, by=1)))  # a correction of one's own
    # of somebody else's two only the newest counts
    assert agreement_of(vote(1, b, by=2), vote(2, a, by=2), vote(3, a, by=1)) == 1


def test_what_a_reviewer_settled_is_no_disagreement():
    a, b = KIND.classes[:2]
    votes = vote(1, a, by=1), vote(2, b, by=2)
    assert math.isnan(agreement_of(*votes, reviewers=("1",)))
    assert math.isnan(agreement_of(votes[0], vote(2, b, by=2, truth=True)))


MANY_KIND = find_kind(MANY)


def set_of(*given, reviewers=()):
    """Resolve annotations, the first by user 1 and so on, each one minute after the other."""
    votes = [
        replace(vote(number, "cat", by=number), result=choices(*names))
        for number, names in enumerate(given, start=1)
    ]
    resolved = resolve(TaskRecord(5, {}, True, "", tuple(votes)), MANY_KIND, reviewers)
    return resolved and (MANY_KIND.text(resolved.label), resolved.annotator)


def test_the_empty_set_is_a_label_and_a_skip_is_none():
    assert set_of(()) == ("none", 1)
    skipped = replace(vote(1, "", skipped=True), result=[])
    assert resolve(TaskRecord(5, {}, True, "", (skipped,)), MANY_KIND) is None


def test_each_class_has_its_majority_and_the_nearest_annotation_is_named():
    assert set_of(("cat", "dog"), ("cat",), ("cat", "bird")) == ("cat", 2)
    assert set_of(("cat", "dog"), ("dog", "bird"), ("cat", "bird")) == ("cat, dog, bird", 3)
    assert set_of(("cat", "dog"), ("cat",)) == ("cat", 2)


def test_a_reviewer_beats_the_majority_of_each_class():
    assert set_of(("dog",), ("cat",), ("cat",), reviewers=["1"]) == ("dog", 1)


def test_a_set_with_an_unknown_class_has_no_vote():
    assert set_of(("cat", "dog"), ("cat", "horse")) == ("cat, dog", 1)
    assert set_of(("cat", "horse")) is None
