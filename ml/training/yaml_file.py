"""Read a configuration from YAML; a wrong key or value is named with its line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ml.training.config import TrainingConfig, WholeConfig

C = TypeVar("C", bound=WholeConfig)


class ConfigError(ValueError):
    """A configuration cannot be used; the message names file, line and key."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, that takes 1e-3 for a number, as YAML 1.2 has it."""


_Loader.yaml_implicit_resolvers = {
    sign: [one for one in found if one[0] != "tag:yaml.org,2002:float"]
    for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+|[0-9]+\.[0-9]*|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.inf|\.nan)$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_config_of(kind: type[C], path: Path, overrides: Mapping[str, Any] | None = None) -> C:
    """Read and check a configuration.

    Parameters
    ----------
    kind : type
        Of what is trained.
    path : Path
        Of a YAML file; `Dataset.dataset_path` and paths of weights in it are relative to its folder.
    overrides : mapping of str to object, optional
        Values for dotted keys, such as ``{"Training.epochs": 3}``, that go before those of the file.

    Raises
    ------
    ConfigError
        If it is no YAML, or a key or value in it is wrong.
    OSError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        root, found = _parse(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text in UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {_one_line(error)}") from error
    if not isinstance(found, dict | None):
        raise ConfigError(f"{path} must hold blocks such as Model: and Training:, not {type(found).__name__}")
    lines = dict(_lines(root, ())) if root is not None else {}
    for key, line in _repeated(root):
        raise ConfigError(f"{path}, line {line}: {key} stands there a second time")
    config = check_config_of(kind, found or {}, overrides, source=str(path), lines=lines)
    return config.beside(path.absolute().parent)


def read_config(path: Path, overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """Read and check the configuration of a classifier; see `read_config_of`."""
    return read_config_of(TrainingConfig, path, overrides)


def check_config(found: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """Check the configuration of a classifier that is a mapping already; see `check_config_of`."""
    return check_config_of(TrainingConfig, found, overrides)


def check_config_of(
    kind: type[C],
    found: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    source: str = "the configuration",
    lines: Mapping[tuple[Any, ...], int] | None = None,
) -> C:
    """Check a configuration that is a mapping already.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    merged = _copy(found)
    set_here = {tuple(key.split(".")) for key in overrides or {}}
    for key, value in (overrides or {}).items():
        _put(merged, key, value)
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        told = [_tell(one, kind, source, lines or {}, set_here) for one in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(told))) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Return key and value of ``Training.lr=1e-3``.

    Raises
    ------
    ConfigError
        If it is not of that form.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{text!r} does not set a key: write it like Training.epochs=3")
    try:
        return key.strip(), _parse(value)[1]
    except yaml.YAMLError as error:
        raise ConfigError(f"{text!r}: the value is not YAML: {_one_line(error)}") from error


def write_config(config: WholeConfig) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """Return a document with its places, and what it says."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return root, None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _tell(
    error: Any,
    kind: type[WholeConfig],
    source: str,
    lines: Mapping[tuple[Any, ...], int],
    set_here: set[tuple[str, ...]],
) -> str:
    place = tuple(error["loc"])
    name = ".".join(map(str, place)) or "the whole"
    if any(place[: len(key)] == key for key in set_here):
        where = "set with the command"
    else:
        line = next((lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in lines), None)
        where = source if line is None else f"{source}, line {line}"
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no key {name}{_meant(kind, place)}"
    got = error.get("input")
    said = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(got, dict | list | BaseModel) else f", not {got!r}"
    return f"{where}: {name}: {said}{shown}"


def _meant(kind: type[WholeConfig], place: tuple[Any, ...]) -> str:
    """Return what the block has instead of a key it does not know."""
    block: Any = kind
    for step in place[:-1]:
        block = _child(block, step)
        if block is None:
            return ""
    known = [field.alias or name for name, field in block.model_fields.items()]
    close = difflib.get_close_matches(str(place[-1]), known, 1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _child(block: type[BaseModel], step: Any) -> type[BaseModel] | None:
    for name, field in block.model_fields.items():
        if step in (name, field.alias):
            kinds = getattr(field.annotation, "__args__", (field.annotation,))
            return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return None


def _lines(node: yaml.Node, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            yield inner, key.start_mark.line + 1
            yield from _lines(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _lines(value, (*place, number))


def _repeated(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Yield keys that stand twice in a block, of which YAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated(value)


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    *blocks, last = key.split(".")
    for block in blocks:
        inner = found.get(block)
        found[block] = inner = inner if isinstance(inner, dict) else {}
        found = inner
    found[last] = value


def _copy(found: Any) -> Any:
    return {key: _copy(one) for key, one in found.items()} if isinstance(found, Mapping) else found


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
