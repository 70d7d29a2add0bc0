import logging

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface

from backend.labelstudio.config import find_kind
from tests.backend.labelstudio.projects import MANY, choices

SETS = [(), ("cat",), ("dog", "bird"), ("cat", "dog", "bird")]


@pytest.fixture
def kind():
    return find_kind(MANY)


def test_target_says_of_every_class_whether_it_was_chosen(kind):
    assert kind.target(choices("bird", "cat")) == (True, False, True)
    assert kind.target([*choices("cat"), *choices("dog")]) == (True, True, False)


def test_nothing_chosen_is_the_empty_set_unless_a_choice_is_required(kind):
    box = {"from_name": "box", "to_name": "img", "type": "rectanglelabels", "value": {"x": 1}}
    empty = [{**choices("cat")[0], "value": {"choices": []}}]
    required = find_kind(MANY.replace("<Choices ", '<Choices required="true" '))
    for result in ([], [box], empty):
        assert kind.target(result) == (False, False, False)
        assert required.target(result) is None
    assert required.target(choices("cat")) == (True, False, False)


@pytest.mark.parametrize("value", [None, {}, "cat", {"choices": "cat"}, {"choices": [["cat"]]}])
def test_what_cannot_be_understood_is_not_taken_for_the_empty_set(kind, value):
    assert kind.target([{"from_name": "kind", "type": "choices", "value": value}]) is None


def test_a_set_with_an_unknown_class_does_not_count_and_that_is_said_once(kind, caplog):
    with caplog.at_level(logging.WARNING):
        assert kind.target(choices("cat", "horse"), 41) is None
        assert kind.target(choices("horse"), 42) is None
    assert [record.getMessage() for record in caplog.records] == [
        "task 41: label 'horse' is not in the label config; it does not count"
    ]


@pytest.mark.parametrize("names", SETS)
def test_result_is_one_that_label_studio_accepts_and_that_comes_back(kind, names):
    label = tuple(name in names for name in kind.classes)
    result = kind.result(np.array(label), 0.123456)
    prediction = {"task": 1, "result": result, "score": 0.5, "model_version": "v"}
    assert LabelInterface(MANY).validate_prediction(prediction, return_errors=True) == []
    assert kind.target(result) == label
    assert [region["score"] for region in result] == ([0.1235] if names else [])


@pytest.mark.parametrize("names", SETS)
def test_text_comes_back(kind, names):
    label = tuple(name in names for name in kind.classes)
    text = kind.text(np.array(label))
    assert kind.parse(text) == label
    assert set(kind.named(text)) == set(names)


def test_a_class_that_is_gone_is_named_but_no_label(kind):
    assert kind.parse("cat, horse") is None
    assert kind.named("cat, horse") == ["cat", "horse"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([("cat",)], ("cat",)),
        ([("cat", "dog"), ("cat",), ("cat", "bird")], ("cat",)),
        ([("cat", "dog"), ("dog", "bird"), ("cat", "bird")], ("cat", "dog", "bird")),
        ([("cat",), ("cat", "dog")], ("cat", "dog")),
        ([("cat", "dog"), ("cat",)], ("cat",)),
        ([(), ("cat",), ()], ()),
    ],
)
def test_consensus_is_a_majority_for_each_class_and_the_last_decides_a_tie(kind, given, expected):
    sets = [tuple(name in names for name in kind.classes) for names in given]
    assert kind.consensus(sets) == tuple(name in expected for name in kind.classes)


def test_blank_is_an_array_to_fill(kind):
    labels = kind.blank(2)
    labels[1] = kind.target(choices("dog"))
    assert labels.tolist() == [[-1, -1, -1], [0, 1, 0]]
