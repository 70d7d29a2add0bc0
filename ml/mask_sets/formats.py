"""The registry of formats of masks. A new format is one module and one line here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ml.datasets.example import DatasetError
from ml.mask_sets import coco, folders, label_studio
from ml.mask_sets.options import MaskReadOptions, MaskWriteOptions
from ml.mask_sets.scene import MaskSet
from ml.mask_sets.writing import Written


class MaskFormat(Protocol):
    """A format."""

    @property
    def NAME(self) -> str:
        """Its name in options."""
        ...

    def sniff(self, path: Path) -> bool:
        """Tell whether something on disk looks like this format."""
        ...

    def read(self, path: Path, options: MaskReadOptions) -> MaskSet:
        """Return what is in it; masks are read later, one at a time."""
        ...

    def write(self, found: MaskSet, out: Path, options: MaskWriteOptions, written: Written) -> None:
        """Write a new file or folder, and note in ``written`` what came of it."""
        ...


FORMATS: dict[str, MaskFormat] = {
    one.NAME: one
    for one in (
        folders.MMSEG,
        folders.MASKS,
        coco.RLE,
        coco.POLYGONS,
        label_studio.BRUSH,
        label_studio.POLYGONS,
    )
}


def find_format(name: str) -> MaskFormat:
    """Return a format by name.

    Raises
    ------
    DatasetError
        If there is none.
    """
    if name not in FORMATS:
        raise DatasetError(f"unknown format of masks {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of(path: Path) -> MaskFormat | None:
    """Return the format something on disk looks like, None where it does not look like masks."""
    return next((one for one in FORMATS.values() if one.sniff(path)), None)
