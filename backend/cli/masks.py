"""How commands are told to read masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ml.mask_sets import MaskReadOptions

FORMATS = "mmseg, masks, coco, coco-polygons, label-studio-brush or label-studio-polygons"

ReadMasksAs = Annotated[
    str, typer.Option("--from", help=f"Format of the masks, {FORMATS}; without it, what it looks like.")
]
Classes = Annotated[
    str,
    typer.Option(
        "--classes",
        metavar="NAMES",
        help="Of masks: classes by number, a,b,c or a file with one a line; else what the set says.",
    ),
]
Ignore = Annotated[
    int,
    typer.Option("--ignore", help="Of masks: the number of pixels that nobody labelled; -1: there is none."),
]


def mask_options(
    images: Path | None = None, classes: str = "", ignore: int = 255, image_column: str = ""
) -> MaskReadOptions:
    """Return what was said of how to read masks.

    Raises
    ------
    OSError
        If the file of classes cannot be read.
    """
    from ml.mask_sets import MaskReadOptions
    from ml.mask_sets.folders import names_in

    names: tuple[str, ...] = ()
    if classes:
        is_file = "," not in classes and Path(classes).is_file()
        names = names_in(Path(classes)) if is_file else tuple(name.strip() for name in classes.split(","))
    return MaskReadOptions(images, names, None if ignore < 0 else ignore, image_column)
