"""What is told while a command works, and by which process."""

from __future__ import annotations

import pytest

from backend.cli import bars
from backend.cli.bars import steps


@pytest.mark.parametrize(("rank", "talks"), [(None, True), ("0", True), ("1", False)])
def test_of_the_processes_of_a_training_the_first_one_talks(
    rank: str | None, talks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rank is None:
        monkeypatch.delenv("RANK", raising=False)
    else:
        monkeypatch.setenv("RANK", rank)
    with bars.errors.capture() as said, steps("decoding") as bar:
        bar.progress(1, 2)
        bar.name("epoch 1/2")
        bar.line("macro F1 0.5")
    assert ("macro F1 0.5" in said.get()) is talks
