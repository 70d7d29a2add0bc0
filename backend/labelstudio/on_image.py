"""What controls on an ``<Image>`` have in common, whatever they ask."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backend.labelstudio.elements import Element, UnsupportedConfig

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"^\$([A-Za-z_][\w.-]*)$")
# Label Studio stores uploads made before there was a config under this key
_UNDEFINED = "$undefined$"
# in arrays of labels
NO_LABEL = -1


@dataclass(frozen=True)
class OnImage:
    """A control on an image.

    Attributes
    ----------
    from_name, to_name : str
        Names of the control and the ``<Image>``.
    data_key : str
        Task field with the image's URI.
    classes : tuple of str
        What results contain, in the order of the config: a class's ``alias``, else its ``value``.
    """

    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]
    name: ClassVar[str]
    _reported: set[str] = field(default_factory=set, init=False, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Digest of all that a head learned for this config depends on."""
        parts = [self.name, self.from_name, self.to_name, self.data_key, *self.classes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def image_uri(self, data: Mapping[str, Any]) -> str | None:
        """Return the image's URI in a task's data; None where the task has none."""
        uri = data.get(self.data_key, data.get(_UNDEFINED))
        return uri if isinstance(uri, str) and uri else None

    def report(self, name: str, task_id: int | None) -> None:
        """Log once that a label is not one of the config."""
        if name not in self._reported:
            self._reported.add(name)
            log.warning("task %s: label %r is not in the label config; it does not count", task_id, name)


def images_of(elements: Sequence[Element]) -> dict[str, Element]:
    """Return the images of a config by name."""
    return {e.get("name"): e for e in elements if e.tag == "Image"}


def class_of(element: Element) -> str:
    """Return what results contain for a ``<Choice>`` or ``<Label>``."""
    return element.get("alias") or element.get("value")


def repeated(names: Sequence[str]) -> str | None:
    """Return the first, by alphabet, of the names that are there twice; None where all differ."""
    return min((name for name in names if names.count(name) > 1), default=None)


def data_key(image: Element) -> str:
    """Return the task field an image is read from.

    Raises
    ------
    UnsupportedConfig
        If it is not one field.
    """
    source = image.get("value")
    match = _VARIABLE.match(source)
    if match is None:
        shown = (image.get("valueList") and "valueList") or f"value={source!r}"
        name = image.get("name")
        raise UnsupportedConfig(f'<Image name="{name}"> has {shown}; Lineup needs value="$field"')
    return match[1]
