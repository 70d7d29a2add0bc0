"""What docs/reliability.md promises is shown by the tests it names."""

from __future__ import annotations

from pathlib import Path

from tests.named import assert_they_exist


def test_every_test_named_there_exists(repository: Path) -> None:
    assert_they_exist(repository, "reliability.md", at_least=15)
