"""Fixed-point fields: text order equals numeric order, and small moves cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.columns import Row, differences, quantise, rank_priorities


@given(n=st.integers(0, 3000), head=st.integers(1, 1000))
def test_priorities_fall_with_rank_and_sort_alike_as_text(n: int, head: int) -> None:
    priorities = rank_priorities(n, head)
    assert len(priorities) == n
    assert (np.diff(priorities) <= 0).all()
    assert ((priorities > 0) & (priorities < 1)).all()
    assert len(set(priorities[:head])) == min(n, head)
    texts = [repr(float(value)) for value in priorities]
    assert texts == sorted(texts, reverse=True)


def test_a_usual_head_differs_in_the_three_decimals_people_see() -> None:
    assert rank_priorities(3, 50).tolist() == [0.999, 0.998, 0.997]
    assert rank_priorities(3, 1000).tolist() == [0.9999, 0.9998, 0.9997]


def test_the_tail_has_few_values() -> None:
    assert len(set(rank_priorities(10_000, 50))) <= 70


@given(st.lists(st.floats(0, 1), min_size=1), st.sampled_from([0.01, 0.05]))
def test_quantised_numbers_sort_alike_as_text(values: list[float], step: float) -> None:
    numbers = quantise(np.array(values), step)
    assert np.abs(numbers - values).max() <= step / 2 + 1e-9
    assert sorted(numbers) == [float(text) for text in sorted(repr(float(number)) for number in numbers)]


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        quantise(np.array([0.5, np.nan]), 0.01)


def changes(
    row: Row, data: dict[str, object], *, exact: bool = False, head: tuple[int, ...] = ()
) -> dict[str, object]:
    found = differences({1: row}, {1: data}, "lineup_", exact=exact, threshold=0.5, head=head)
    return {name.removeprefix("lineup_"): values[1] for name, values in found}


FULL = {
    "lineup_priority": 0.45,
    "lineup_suspicion": 0.2,
    "lineup_suggestion": "cat",
    "lineup_confidence": 0.6,
    "lineup_reason": "",
}
SAME = Row(0.45, 0.2, "cat", 0.6, "")


def test_a_new_task_gets_every_field_and_an_unchanged_one_none() -> None:
    assert set(changes(Row(), {"image": "x"})) == {
        "priority",
        "suspicion",
        "suggestion",
        "confidence",
        "reason",
    }
    assert changes(SAME, dict(FULL), exact=True) == {}


def test_a_small_move_is_written_only_when_exact() -> None:
    moved = Row(0.42, 0.21, "cat", 0.65, "")
    assert changes(moved, dict(FULL)) == {}
    assert changes(moved, dict(FULL), exact=True) == {"priority": 0.42, "suspicion": 0.21, "confidence": 0.65}


def test_crossing_the_threshold_ending_and_the_head_are_always_written() -> None:
    near = {**FULL, "lineup_suspicion": 0.49}
    assert changes(Row(0.45, 0.5, "cat", 0.6, ""), near) == {"suspicion": 0.5}
    assert changes(Row(0.0, 0.2, "cat", 0.6, ""), {**FULL, "lineup_priority": 0.045}) == {"priority": 0.0}
    assert changes(Row(0.46, 0.2, "cat", 0.6, ""), dict(FULL), head=(1,)) == {"priority": 0.46}
    # a task that left the head must give up its place at once
    assert changes(Row(0.9, 0.2, "cat", 0.6, ""), {**FULL, "lineup_priority": 0.9999}) == {"priority": 0.9}


def test_a_field_that_is_no_number_is_replaced() -> None:
    assert changes(SAME, {**FULL, "lineup_priority": "high"}) == {"priority": 0.45}


def test_tasks_that_enter_or_leave_the_review_come_first() -> None:
    rows = {1: Row(priority=0.4), 2: Row(suspicion=0.9), 3: Row(suspicion=0.0), 4: Row(suspicion=0.2)}
    present = {number: dict(FULL) for number in rows} | {3: {**FULL, "lineup_suspicion": 0.8}}
    found = differences(rows, present, "lineup_", exact=True, threshold=0.5)
    assert found[0] == ("lineup_suspicion", {2: 0.9, 3: 0.0})
    assert [name for name, _ in found[1:3]] == ["lineup_priority", "lineup_suspicion"]
