"""In which order predictions are written."""

from __future__ import annotations

import pytest

from backend.columns import Row
from backend.labelstudio.predictions import Prediction
from backend.ordering import Lineup
from backend.publish import order_predictions


@pytest.mark.parametrize(("head", "order"), [
    (2, [5, 1, 8, 2, 9, 4, 3, 7]),
    (1, [5, 8, 2, 9, 1, 4, 3, 7]),
    (9, [5, 1, 4, 9, 8, 2, 3, 7]),
])  # fmt: skip
def test_the_head_comes_first_then_the_suspects_then_the_rest(head: int, order: list[int]) -> None:
    suspicion = {1: 0.0, 2: 0.7, 3: 0.4, 4: 0.0, 5: 0.0, 6: 0.9, 7: 0.0, 8: 0.8, 9: 0.5}
    rows = {task: Row(suspicion=value) for task, value in suspicion.items()}
    lineup = Lineup(rows, queue=[5, 1, 4, 9], threshold=0.5, suspects=4)
    # task 6 has no image that can be used
    predictions = {task: Prediction(task, [], 0.5, "v1") for task in suspicion if task != 6}
    assert [p.task for p in order_predictions(lineup, predictions, head)] == order


def test_what_cannot_be_predicted_keeps_its_place_in_the_queue_and_nobody_else_loses_his() -> None:
    lineup = Lineup({task: Row() for task in (1, 2, 3)}, queue=[3, 2, 1], threshold=0.5, suspects=0)
    predictions = {task: Prediction(task, [], 0.5, "v1") for task in (1, 3)}
    assert [p.task for p in order_predictions(lineup, predictions, 2)] == [3, 1]
