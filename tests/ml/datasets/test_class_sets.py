from __future__ import annotations

import pytest

from ml.datasets.class_sets import join_classes, split_classes


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none"),
        (["cat"], "cat"),
        (["cat", "big dog", "x"], "cat, big dog, x"),
        (["none"], '"none"'),
        (["none", "cat"], '"none", cat'),
        (["cats, dogs", "a"], '"cats, dogs", a'),
        (['say "hi"', " blank "], '"say ""hi""", " blank "'),
        (["", ","], '"", ","'),
        (["Größe", "[1]", "a;b"], "Größe, [1], a;b"),
    ],
)
def test_names_come_back_from_their_line(names: list[str], text: str) -> None:
    assert join_classes(names) == text
    assert split_classes(text) == names


@pytest.mark.parametrize("text", ["", "  ", '"open', 'a "b" c', ",", "a,,b"])
def test_other_text_is_no_set(text: str) -> None:
    assert split_classes(text) is None
