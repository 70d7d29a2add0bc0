"""The classes of index masks: their names by number, and what is no class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.masks import MaskError

BACKGROUND = "background"
IGNORE = 255
_MOST = 65_535


@dataclass(frozen=True, slots=True)
class MaskClasses:
    """What the numbers in index masks mean.

    Attributes
    ----------
    names : tuple of str
        A pixel's number is its class's place here. A first class called ``background`` is implied: people do not
        draw it.
    ignore : int or None
        The number of pixels that nobody labelled.

    Raises
    ------
    MaskError
        If a name is empty or twice there, there are too many, or ``ignore`` is the number of a class.
    """

    names: tuple[str, ...]
    ignore: int | None = IGNORE

    def __post_init__(self) -> None:
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice or not all(self.names):
            raise MaskError(
                f"the list of classes has {'an empty name' if not twice else f'{twice[0]!r} twice'}"
            )
        if len(self.names) > _MOST:
            raise MaskError(f"there are {len(self.names)} classes, and a mask holds {_MOST}")
        if self.ignore is not None and 0 <= self.ignore < len(self.names):
            raise MaskError(
                f"{self.ignore} is the number of {self.names[self.ignore]!r}: say which is ignored"
            )

    @classmethod
    def drawn_by(cls, names: Sequence[str]) -> MaskClasses:
        """Return the list for classes that people draw: background comes first, whether it is named or not."""
        listed = (BACKGROUND, *(name for name in names if name != BACKGROUND))
        return cls(listed, IGNORE if len(listed) <= IGNORE else None)

    @property
    def implied(self) -> bool:
        """Whether the first class is the background, which nobody draws."""
        return self.names[:1] == (BACKGROUND,)

    @property
    def blank(self) -> int:
        """The number of pixels that nobody has drawn on."""
        return 0 if self.implied or self.ignore is None else self.ignore

    @property
    def drawn(self) -> dict[str, int]:
        """The classes that people draw, with their numbers."""
        return {name: number for number, name in enumerate(self.names) if number or not self.implied}

    def drawn_in(self, mask: np.ndarray) -> dict[str, int]:
        """Return those of the drawn classes that a mask has, with their numbers."""
        counts = np.bincount(mask.ravel(), minlength=len(self.names))
        return {name: number for name, number in self.drawn.items() if counts[number]}

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """The type of a mask that holds all numbers."""
        small = len(self.names) <= 256 and (self.ignore or 0) < 256
        return np.dtype(np.uint8) if small else np.dtype(np.uint16)

    def number_of(self, name: str) -> int:
        """Return a class's number.

        Raises
        ------
        MaskError
            If there is no such class.
        """
        try:
            return self.names.index(name)
        except ValueError:
            known = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
            raise MaskError(f"class {name!r} is not in the list: {known}") from None

    def unknown(self, mask: np.ndarray) -> dict[int, int]:
        """Return the numbers in a mask that are no class and not ignored, and how many pixels have each."""
        numbers, counts = np.unique(mask, return_counts=True)
        found = zip(numbers.tolist(), counts.tolist(), strict=True)
        return {
            number: count for number, count in found if number >= len(self.names) and number != self.ignore
        }
