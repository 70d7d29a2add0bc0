"""What a demo can be about, by the kind of its labels."""

from __future__ import annotations

from collections.abc import Callable

from demo.choices import DigitChoices
from demo.strokes import Strokes
from demo.subject import Subject

SUBJECTS: dict[str, Callable[[], Subject]] = {"choices": DigitChoices, "segmentation": Strokes}
