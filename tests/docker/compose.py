"""Read compose files as `docker compose` does: variables filled in from an environment file, files merged in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")


def load(files: list[Path], variables: dict[str, str]) -> dict[str, Any]:
    """Return the stack that compose files describe."""
    stack: dict[str, Any] = {}
    for path in files:
        stack = merge(stack, fill(yaml.safe_load(path.read_text(encoding="utf-8")), variables))
    return stack


def variables_of(path: Path) -> dict[str, str]:
    """Return the variables of an environment file."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}


def used_variables(path: Path) -> set[str]:
    """Return the names of all variables a compose file asks for."""
    text = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    return {found["name"] for found in _VARIABLE.finditer(text)}


def fill(value: Any, variables: dict[str, str]) -> Any:
    """Return a value with ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?message}`` filled in."""

    def one(found: re.Match[str]) -> str:
        given = variables.get(found["name"], "")
        if given or found["kind"] is None:
            return given
        assert found["kind"] == ":-", f"{found['name']} must be set: {found['rest']}"
        return found["rest"]

    if isinstance(value, dict):
        return {key: fill(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [fill(entry, variables) for entry in value]
    return _VARIABLE.sub(one, value) if isinstance(value, str) else value


def merge(below: Any, above: Any) -> Any:
    """Return two descriptions as one, the second over the first: mappings by key, all else replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        merged = {key: merge(below.get(key), value) for key, value in above.items()}
        return {**below, **merged}
    return above
