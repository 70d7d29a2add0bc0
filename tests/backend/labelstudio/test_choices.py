import logging

import pytest
from label_studio_sdk.label_interface import LabelInterface

from backend.labelstudio.config import find_kind
from tests.backend.labelstudio.projects import CONFIG, choice


@pytest.fixture
def kind():
    return find_kind(CONFIG)


def test_target_is_the_class_index(kind):
    assert [kind.target(choice(label)) for label in ("cat", "dog", "bird")] == [0, 1, 2]


def test_target_finds_its_control_among_others(kind):
    other = {"from_name": "other", "to_name": "img", "type": "choices", "value": {"choices": ["dog"]}}
    box = {"from_name": "kind", "to_name": "img", "type": "rectanglelabels", "value": {"x": 1}}
    assert kind.target([other, box, *choice("bird")]) == 2


@pytest.mark.parametrize("result", [
    [], [{}], [{"from_name": "kind", "type": "choices"}], [{"from_name": "kind", "type": "choices", "value": {}}],
    [{"from_name": "kind", "type": "choices", "value": {"choices": []}}],
    [{"from_name": "kind", "type": "choices", "value": {"choices": ["cat", "dog"]}}],
    [{"from_name": "kind", "type": "choices", "value": {"choices": [["cat"]]}}],
    [{"from_name": "kind", "type": "choices", "value": "cat"}],
])  # fmt: skip
def test_results_without_one_choice_are_no_target(kind, result):
    assert kind.target(result) is None


def test_unknown_label_is_no_target_and_said_once(kind, caplog):
    with caplog.at_level(logging.WARNING):
        assert kind.target(choice("horse"), 41) is None
        assert kind.target(choice("horse"), 42) is None
    assert [record.getMessage() for record in caplog.records] == [
        "task 41: label 'horse' is not in the label config; it does not count"
    ]


def test_result_is_one_that_label_studio_accepts(kind):
    for label in range(3):
        result = kind.result(label, 0.123456)
        prediction = {"task": 1, "result": result, "score": 0.5, "model_version": "v"}
        assert LabelInterface(CONFIG).validate_prediction(prediction, return_errors=True) == []
        assert kind.target(result) == label
        assert result[0]["score"] == 0.1235


def test_image_uri(kind):
    assert kind.image_uri({"image": "s3://b/x.png"}) == "s3://b/x.png"
    assert kind.image_uri({"$undefined$": "/data/upload/1/x.png"}) == "/data/upload/1/x.png"
    for data in ({}, {"image": ""}, {"image": None}, {"image": ["a"]}, {"other": "x"}):
        assert kind.image_uri(data) is None
