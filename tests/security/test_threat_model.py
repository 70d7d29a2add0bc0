"""What docs/security.md says is shown by a test is."""

from __future__ import annotations

import re
from pathlib import Path

from backend.settings import Settings
from tests.named import assert_they_exist


def test_every_test_named_in_the_threat_model_exists(repository: Path) -> None:
    assert_they_exist(repository, "security.md", at_least=30)


def test_every_setting_named_there_exists(repository: Path) -> None:
    text = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("## Settings that matter")[2]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", section))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}
