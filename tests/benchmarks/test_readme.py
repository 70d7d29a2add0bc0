from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.readme import documents, fill
from benchmarks.report import RESULTS, load


@pytest.mark.parametrize("path", list(documents()), ids=lambda path: path.name)
def test_the_figures_in_the_docs_are_those_of_the_committed_results(path: Path) -> None:
    assert fill(path) == path.read_text(encoding="utf-8"), "run make bench-docs"


def test_every_benchmark_has_its_place_in_the_docs() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents())
    for name in BENCHMARKS:
        for what in ("targets", "machine"):
            assert f"<!-- {name}:{what}:start -->" in text


def test_pictures_are_small() -> None:
    assert all(path.stat().st_size < 150_000 for path in RESULTS.glob("*.png"))


def test_a_block_is_replaced_and_the_text_around_it_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("before\n<!-- loop:machine:start -->\nold\n<!-- loop:machine:end -->\nafter\n")
    figures = load("loop")
    assert figures is not None
    filled = fill(path)
    assert re.fullmatch(
        r"before\n<!-- loop:machine:start -->\nMeasured.*\n<!-- loop:machine:end -->\nafter\n", filled
    )
    path.write_text(filled)
    assert fill(path) == filled
    # before the first run there is nothing to put there
    assert fill(path, results=tmp_path) == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- loop:nothing:start -->\n<!-- loop:nothing:end -->", "loop has no table 'nothing'"),
        ("<!-- other:targets:start -->\n<!-- other:targets:end -->", "no benchmark 'other'"),
        ("<!-- loop:targets:start -->\n<!-- loop:usual:end -->", "followed by loop:usual:end"),
        ("<!-- loop:targets:start -->\n", "1 marks do not make 0 pairs"),
    ],
)
def test_marks_that_name_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        fill(path)
