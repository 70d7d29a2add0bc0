"""Read a project's label config and find the kind of problem it describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self
from xml.etree import ElementTree

from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.elements import Element, UnsupportedConfig


class Kind(Protocol):
    """How annotations become targets, and predictions results, for one kind of problem."""

    name: str

    @property
    def data_key(self) -> str:
        """The task field with the image."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the config."""
        ...

    @property
    def digest(self) -> str:
        """A digest of all that a head learned for this config depends on."""
        ...

    def image_uri(self, data: dict[str, Any]) -> str | None:
        """Return the image's URI in a task's data."""
        ...


Finder = Callable[["LabelConfig"], ChoicesKind | None]

KINDS: dict[str, Finder] = {
    "choices": lambda config: ChoicesKind.find(config.elements),
}


@dataclass(frozen=True)
class LabelConfig:
    """The elements of a label config, in the order of the document."""

    elements: tuple[Element, ...]

    @classmethod
    def parse(cls, xml: str) -> Self:
        """Parse a label config.

        Raises
        ------
        UnsupportedConfig
            If it is empty, is not XML, or declares entities.
        """
        if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
            raise UnsupportedConfig("the label config declares XML entities; remove its DOCTYPE")
        try:
            root = ElementTree.fromstring(xml)
        except ElementTree.ParseError as error:
            reason = (
                f"the label config is not valid XML ({error})"
                if xml.strip()
                else "the project has no label config"
            )
            raise UnsupportedConfig(f"{reason}; set one under Settings > Labeling Interface") from error
        return cls(tuple(_walk(root, ())))


def find_kind(label_config: str) -> ChoicesKind:
    """Return the kind of problem a label config describes.

    Raises
    ------
    UnsupportedConfig
        Names the tag in the way and what is supported.
    """
    config = LabelConfig.parse(label_config)
    for find in KINDS.values():
        kind = find(config)
        if kind is not None:
            return kind
    tags = ", ".join(sorted({f"<{e.tag}>" for e in config.elements if e.get("toName")})) or "no control tag"
    raise UnsupportedConfig(f"the label config has {tags}; Lineup works with <Choices> on an <Image>")


def _walk(node: ElementTree.Element, ancestors: tuple[Element, ...]) -> list[Element]:
    element = Element(str(node.tag), dict(node.attrib), ancestors)
    found = [element]
    for child in node:
        found += _walk(child, (*ancestors, element))
    return found
