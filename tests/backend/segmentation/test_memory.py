"""What is remembered of single images and masks."""

from __future__ import annotations

from pathlib import Path

from backend.segmentation.memory import Memory


def test_values_come_back_with_their_source_the_oldest_first(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "project" / "m.sqlite")
    memory.keep("a", "first", {"x": [1, 0.5], "y": {"z": None}})
    memory.keep("b", "first", {"x": "another"})
    memory.keep("a", "second", {"x": [2]})
    known = Memory(memory.path).recall("a")
    assert list(known) == ["y", "x"], "what was asked about longest ago is asked about next"
    assert (known["x"].source, known["x"].value) == ("second", [2])
    assert (known["y"].source, known["y"].value) == ("first", {"z": None})


def test_what_is_not_wanted_is_forgotten_under_its_own_name(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "m.sqlite")
    memory.keep("a", "s", {str(number): number for number in range(2000)})
    memory.keep("b", "s", {"5": 5})
    memory.keep_only("a", [str(number) for number in range(0, 2000, 2)])
    assert set(memory.recall("a")) == {str(number) for number in range(0, 2000, 2)}
    memory.keep_only("a", [])
    assert memory.recall("a") == {}
    assert memory.recall("b")["5"].value == 5
