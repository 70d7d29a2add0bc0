"""``<Choices>`` for a whole ``<Image>``: what single and multiple choice have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from backend.labelstudio.elements import Element, UnsupportedConfig
from backend.labelstudio.on_image import OnImage, class_of, data_key, images_of, repeated


@dataclass(frozen=True)
class ImageChoices(OnImage):
    """One choices control on one image.

    Attributes
    ----------
    required : bool
        Whether Label Studio insists on a choice.
    """

    required: bool = False
    several: ClassVar[bool]
    fewest_choices: ClassVar[int]
    graded: ClassVar[bool] = False

    @classmethod
    def find(cls, elements: Sequence[Element]) -> Self | None:
        """Return the kind for the first control of this kind on an image; None where there is none.

        Raises
        ------
        UnsupportedConfig
            If there are such controls, but none Lineup can learn.
        """
        images = images_of(elements)
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
                    data_key(images[control.get("toName")]),
                    tuple(class_of(e) for e in _choices(control, elements)),
                    control.get("required") == "true",
                )
            problems.append(f'<Choices name="{control.get("name")}"> {problem}')
        if problems:
            raise UnsupportedConfig(
                "; ".join(problems) + "; Lineup works with one <Choices> for a whole <Image>"
            )
        return None

    def chosen(self, result: Sequence[Mapping[str, Any]]) -> Iterator[list[str] | None]:
        """Yield the choices of each of the control's regions in an annotation; None for what is no list of names."""
        for region in result:
            if region.get("from_name") != self.from_name or region.get("type") != "choices":
                continue
            value = region.get("value")
            names = value.get("choices") if isinstance(value, Mapping) else None
            named = isinstance(names, list) and all(isinstance(name, str) for name in names)
            yield names if named else None

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


def _problem(control: Element, elements: Sequence[Element], fewest: int) -> str | None:
    """Return why a control cannot be learned, or None."""
    if control.get("perRegion") == "true" or control.get("perItem") == "true":
        return "is asked for each region"
    if control.get("value"):
        return "takes its choices from the task data"
    choices = _choices(control, elements)
    if any(a.tag == "Choice" for e in choices for a in e.ancestors):
        return "has choices within choices"
    names = [class_of(e) for e in choices]
    if len(names) < fewest:
        return "has fewer than two choices" if fewest == 2 else "has no choices"
    twice = repeated(names)
    return None if twice is None else f"has a choice twice ({twice!r})"
