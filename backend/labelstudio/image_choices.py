"""``<Choices>`` for a whole ``<Image>``: what single and multiple choice have in common."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from backend.labelstudio.elements import Element, UnsupportedConfig

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"^\$([A-Za-z_][\w.-]*)$")
# Label Studio stores uploads made before there was a config under this key
_UNDEFINED = "$undefined$"
# in arrays of labels
NO_LABEL = -1


@dataclass(frozen=True)
class ImageChoices:
    """One choices control on one image.

    Attributes
    ----------
    from_name, to_name : str
        Names of the ``<Choices>`` and the ``<Image>``.
    data_key : str
        Task field with the image's URI.
    classes : tuple of str
        What results contain, in the order of the config: a choice's ``alias``, else its ``value``.
    required : bool
        Whether Label Studio insists on a choice.
    """

    from_name: str
    to_name: str
    data_key: str
    classes: tuple[str, ...]
    required: bool = False
    name: ClassVar[str]
    several: ClassVar[bool]
    fewest_choices: ClassVar[int]
    _reported: set[str] = field(default_factory=set, compare=False, repr=False)

    @classmethod
    def find(cls, elements: Sequence[Element]) -> Self | None:
        """Return the kind for the first control of this kind on an image; None where there is none.

        Raises
        ------
        UnsupportedConfig
            If there are such controls, but none Lineup can learn.
        """
        images = {e.get("name"): e for e in elements if e.tag == "Image"}
        controls = [
            e
            for e in elements
            if e.tag == "Choices"
            and e.get("toName") in images
            and (e.get("choice") == "multiple") == cls.several
        ]
        problems = []
        for control in controls:
            problem = _problem(control, elements, cls.fewest_choices)
            if problem is None:
                return cls(
                    control.get("name"),
                    control.get("toName"),
                    _data_key(images[control.get("toName")]),
                    tuple(_class(e) for e in _choices(control, elements)),
                    control.get("required") == "true",
                )
            problems.append(f'<Choices name="{control.get("name")}"> {problem}')
        if problems:
            raise UnsupportedConfig(
                "; ".join(problems) + "; Lineup works with one <Choices> for a whole <Image>"
            )
        return None

    @property
    def digest(self) -> str:
        """Digest of all that a head learned for this config depends on."""
        parts = [self.name, self.from_name, self.to_name, self.data_key, *self.classes]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def image_uri(self, data: Mapping[str, Any]) -> str | None:
        """Return the image's URI in a task's data; None where the task has none."""
        uri = data.get(self.data_key, data.get(_UNDEFINED))
        return uri if isinstance(uri, str) and uri else None

    def chosen(self, result: Sequence[Mapping[str, Any]]) -> Iterator[list[str] | None]:
        """Yield the choices of each of the control's regions in an annotation; None for what is no list of names."""
        for region in result:
            if region.get("from_name") != self.from_name or region.get("type") != "choices":
                continue
            value = region.get("value")
            names = value.get("choices") if isinstance(value, Mapping) else None
            named = isinstance(names, list) and all(isinstance(name, str) for name in names)
            yield names if named else None

    def report(self, name: str, task_id: int | None) -> None:
        """Log once that a label is not one of the config."""
        if name not in self._reported:
            self._reported.add(name)
            log.warning("task %s: label %r is not in the label config; it does not count", task_id, name)

    def region(self, names: Sequence[str], confidence: float) -> dict[str, Any]:
        """Return a result's region that chooses classes; the confidence is its score."""
        return {
            "from_name": self.from_name,
            "to_name": self.to_name,
            "type": "choices",
            "value": {"choices": list(names)},
            "score": round(float(confidence), 4),
        }


def _choices(control: Element, elements: Sequence[Element]) -> list[Element]:
    return [e for e in elements if e.tag == "Choice" and e.inside(control)]


def _class(choice: Element) -> str:
    return choice.get("alias") or choice.get("value")


def _problem(control: Element, elements: Sequence[Element], fewest: int) -> str | None:
    """Return why a control cannot be learned, or None."""
    if control.get("perRegion") == "true" or control.get("perItem") == "true":
        return "is asked for each region"
    if control.get("value"):
        return "takes its choices from the task data"
    choices = _choices(control, elements)
    if any(a.tag == "Choice" for e in choices for a in e.ancestors):
        return "has choices within choices"
    names = [_class(e) for e in choices]
    if len(names) < fewest:
        return "has fewer than two choices" if fewest == 2 else "has no choices"
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        return f"has a choice twice ({repeated[0]!r})"
    return None


def _data_key(image: Element) -> str:
    source = image.get("value")
    match = _VARIABLE.match(source)
    if match is None:
        shown = (image.get("valueList") and "valueList") or f"value={source!r}"
        name = image.get("name")
        raise UnsupportedConfig(f'<Image name="{name}"> has {shown}; Lineup needs value="$field"')
    return match[1]
