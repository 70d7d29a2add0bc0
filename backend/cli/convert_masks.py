"""What `lineup convert` does with masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.bars import steps
from backend.cli.common import console
from backend.cli.datasets import tell_problems

if TYPE_CHECKING:
    from ml.mask_sets import MaskReadOptions


def are_masks(source: Path, read_as: str, write_as: str) -> bool:
    """Tell whether a conversion is one of masks: by the formats that are named, or else by what the source looks like.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    from ml import datasets, mask_sets

    for name in filter(None, (read_as, write_as)):
        if name not in datasets.FORMATS and name not in mask_sets.FORMATS:
            known = ", ".join((*datasets.FORMATS, *mask_sets.FORMATS))
            raise ValueError(f"unknown format {name!r}; there are {known}")
    if read_as or write_as:
        return read_as in mask_sets.FORMATS or write_as in mask_sets.FORMATS
    return source.exists() and mask_sets.format_of(source) is not None


def convert_masks(
    source: Path,
    out: Path,
    read_as: str,
    write_as: str,
    options: MaskReadOptions,
    tolerance: float,
    document_root: Path | None,
    skip_problems: bool,
    force: bool,
) -> None:
    """Write masks in another format, and tell what it cost."""
    from ml.mask_sets import FORMATS, MaskWriteOptions, read_masks, write_masks
    from ml.mask_sets.label_studio import LabelStudioMasks

    if not write_as and out.suffix:
        raise ValueError(f"{out.name} does not tell its format ({', '.join(FORMATS)}): say which with --to")
    format = write_as or "mmseg"
    found = read_masks(source, format=read_as, options=options, skip_problems=skip_problems)
    with steps("converting") as bar:
        written = write_masks(
            found,
            out,
            format=format,
            options=MaskWriteOptions(tolerance, document_root),
            skip_problems=skip_problems,
            force=force,
            progress=bar.progress,
        )
    undone = f"; {found.unlabelled} that nobody has done are left out" if found.unlabelled else ""
    console.print(
        f"Wrote {written.count} masks to {out}, {len(found.classes.names)} classes: {written.loss}{undone}.",
        highlight=False,
        soft_wrap=True,
    )
    if isinstance(chosen := FORMATS[format], LabelStudioMasks):
        console.print("Label config of a project for them:", highlight=False)
        config = chosen.label_config(found.classes.drawn)
        console.print(config, highlight=False, markup=False, soft_wrap=True)
    tell_problems([*found.problems, *written.problems])
