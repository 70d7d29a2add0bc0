"""One tag of a label config."""

from __future__ import annotations

from dataclasses import dataclass


class UnsupportedConfig(ValueError):
    """The label config is not one Lineup can learn from; says which tag is in the way."""


@dataclass(frozen=True)
class Element:
    """A tag with its attributes and the tags around it, outermost first."""

    tag: str
    attributes: dict[str, str]
    ancestors: tuple[Element, ...] = ()

    def get(self, name: str) -> str:
        """Return an attribute, empty where absent; names count without case, as in Label Studio's editor."""
        for key, value in self.attributes.items():
            if key.lower() == name.lower():
                return value
        return ""

    def inside(self, other: Element) -> bool:
        """Tell whether this tag stands within ``other``."""
        return any(ancestor is other for ancestor in self.ancestors)
