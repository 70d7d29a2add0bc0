"""Tests that documents name."""

from __future__ import annotations

import ast
import re
from pathlib import Path


def assert_they_exist(repository: Path, document: str, at_least: int) -> None:
    """Fail unless every test that a document of `docs` names is there, and it names enough of them."""
    text = (repository / "docs" / document).read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", text)
    assert len(named) >= at_least
    for file, test in named:
        assert (repository / file).is_file(), file
        assert not test or test in _names(repository / file), f"{file}::{test}"


def _names(path: Path) -> set[str]:
    """Return the tests and classes of a file, methods as ``Class::method``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return found
