"""How a set of masks is to be read and written, where its format leaves that open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml.masks.classes import IGNORE


@dataclass(frozen=True, slots=True)
class MaskReadOptions:
    """For readers.

    Attributes
    ----------
    images : Path or None
        Folder that image names are relative to; None: where the format has them.
    classes : tuple of str
        Names by number; empty: what the source says, and else the numbers that are found.
    ignore : int or None
        The number of pixels that nobody labelled.
    image_column : str
        The image's field in Label Studio's tasks; empty: the usual names.
    """

    images: Path | None = None
    classes: tuple[str, ...] = ()
    ignore: int | None = IGNORE
    image_column: str = ""


@dataclass(frozen=True, slots=True)
class MaskWriteOptions:
    """For writers.

    Attributes
    ----------
    tolerance : float
        Pixels that a polygon may be away from the outline of its mask; 0: exact.
    document_root : Path or None
        The folder Label Studio serves as local files, for its tasks.
    folder : Path
        Of what is written, which paths of images are relative to.
    """

    tolerance: float = 1.0
    document_root: Path | None = None
    folder: Path = Path()
