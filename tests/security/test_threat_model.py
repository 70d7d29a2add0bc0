"""What docs/security.md says is shown by a test is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from backend.settings import Settings


def names(path: Path) -> set[str]:
    """Return the tests and classes of a file, methods as ``Class::method``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return found


def test_every_test_named_in_the_threat_model_exists(repository: Path) -> None:
    text = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", text)
    assert len(named) > 30
    for file, test in named:
        assert (repository / file).is_file(), file
        assert not test or test in names(repository / file), f"{file}::{test}"


def test_every_setting_named_there_exists(repository: Path) -> None:
    text = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    section = text.partition("## Settings that matter")[2]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", section))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}
