"""What a task's label is where people draw masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class MaskLabel:
    """A drawn mask: small, and equal to another one of the same digest. `SegmentationKind.mask` makes the pixels.

    Attributes
    ----------
    digest : str
        Of the regions that count: their classes, outlines and sizes, in their order; 16 hexadecimal digits.
    names : tuple of str
        Classes that have a region, in the order of the config; none: all is background.
    size : (int, int) or None
        Height and width of the image, upright; None where nothing is drawn, or the label is only remembered.
    result : sequence of dict or None
        The annotation's result; None where the label is only remembered.
    """

    digest: str
    names: tuple[str, ...] = field(compare=False)
    size: tuple[int, int] | None = field(default=None, compare=False)
    result: Sequence[Mapping[str, Any]] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.digest
