"""Read a project's label config and find the kind of problem it describes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from xml.etree import ElementTree

from backend.labelstudio.choices import ChoicesKind
from backend.labelstudio.elements import Element, UnsupportedConfig
from backend.labelstudio.kind import Kind
from backend.labelstudio.multilabel import MultiLabelKind
from backend.labelstudio.segmentation import SegmentationKind

Finder = Callable[["LabelConfig"], Kind | None]

# in the order of preference, where a config has controls of several kinds
KINDS: dict[str, Finder] = {
    "choices": lambda config: ChoicesKind.find(config.elements),
    "multilabel": lambda config: MultiLabelKind.find(config.elements),
    "segmentation": lambda config: SegmentationKind.find(config.elements),
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

    @property
    def choices(self) -> list[str]:
        """Names of the ``<Choices>`` on an image, in order."""
        images = {e.get("name") for e in self.elements if e.tag == "Image"}
        return [e.get("name") for e in self.elements if e.tag == "Choices" and e.get("toName") in images]

    def only(self, control: str) -> LabelConfig:
        """Return the config without other ``<Choices>`` than the one of this name.

        Raises
        ------
        UnsupportedConfig
            If there is none of this name.
        """
        if control not in self.choices:
            there = ", ".join(self.choices) or "none"
            raise UnsupportedConfig(
                f"the label config has no <Choices> {control!r} on an image; it has {there}"
            )
        return LabelConfig(tuple(e for e in self.elements if e.tag != "Choices" or e.get("name") == control))


def find_kind(label_config: str, control: str = "") -> Kind:
    """Return the kind of problem a label config describes.

    Parameters
    ----------
    control : str
        Name of the ``<Choices>`` that counts; empty: the first that Lineup can learn.

    Raises
    ------
    UnsupportedConfig
        Names the tag in the way and what is supported.
    """
    config = LabelConfig.parse(label_config)
    config = config.only(control) if control else config
    problems = []
    for find in KINDS.values():
        try:
            kind = find(config)
        except UnsupportedConfig as error:
            problems.append(error)
            continue
        if kind is not None:
            return kind
    if problems:
        raise problems[0]
    tags = ", ".join(sorted({f"<{e.tag}>" for e in config.elements if e.get("toName")})) or "no control tag"
    raise UnsupportedConfig(
        f"the label config has {tags}; "
        "Lineup works with <Choices> on an <Image>, or with <BrushLabels> or <PolygonLabels>"
    )


def _walk(node: ElementTree.Element, ancestors: tuple[Element, ...]) -> list[Element]:
    element = Element(str(node.tag), dict(node.attrib), ancestors)
    found = [element]
    for child in node:
        found += _walk(child, (*ancestors, element))
    return found
