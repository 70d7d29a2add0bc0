"""What `lineup convert` does with masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.bars import steps
from backend.cli.common import console, label_studio_settings
from backend.cli.datasets import tell_problems

if TYPE_CHECKING:
    from ml.mask_sets import MaskSet, MaskWriteOptions, Written


def write_masks_to(
    found: MaskSet, out: Path, write_as: str, options: MaskWriteOptions, *, skip_problems: bool, force: bool
) -> None:
    """Write masks in another format, and tell what it cost.

    Raises
    ------
    ValueError
        If the name of ``out`` does not tell its format.
    """
    from ml.mask_sets import FORMATS, write_masks
    from ml.mask_sets.label_studio import LabelStudioMasks

    if not write_as and out.suffix:
        raise ValueError(f"{out.name} does not tell its format ({', '.join(FORMATS)}): say which with --to")
    format = write_as or "mmseg"
    with steps("converting") as bar:
        written = write_masks(
            found,
            out,
            format=format,
            options=options,
            skip_problems=skip_problems,
            force=force,
            progress=bar.progress,
        )
    _tell(found, written, f"Wrote {written.count} masks to {out}")
    if isinstance(chosen := FORMATS[format], LabelStudioMasks):
        console.print("Label config of a project for them:", highlight=False)
        config = chosen.label_config(found.classes.drawn)
        console.print(config, highlight=False, markup=False, soft_wrap=True)
    tell_problems([*found.problems, *written.problems])


def import_masks_as(
    found: MaskSet, title: str, write_as: str, options: MaskWriteOptions, *, skip_problems: bool
) -> None:
    """Make a Label Studio project of masks, and tell what it cost.

    Raises
    ------
    ValueError
        If ``write_as`` is neither of Label Studio's formats.
    """
    from backend.import_masks import import_masks
    from backend.labelstudio.client import LabelStudioClient
    from ml.mask_sets.label_studio import BRUSH, POLYGONS

    kinds = {one.NAME: one for one in (BRUSH, POLYGONS)}
    kind = kinds.get(write_as or BRUSH.NAME)
    if kind is None:
        raise ValueError(f"a project has its masks as {' or '.join(kinds)}, not as --to {write_as}")
    settings = label_studio_settings()
    with (
        LabelStudioClient(settings.label_studio_url, settings.api_key) as client,
        steps("reading masks") as bar,
    ):
        made, written = import_masks(
            client,
            found,
            title=title,
            kind=kind,
            tolerance=options.tolerance,
            document_root=options.document_root,
            skip_problems=skip_problems,
            progress=bar.progress,
            step=bar.step,
        )
    _tell(found, written, f"Project {made.project_id} with {made.tasks} tasks")
    console.print(made.url, highlight=False, markup=False, soft_wrap=True)
    tell_problems([*found.problems, *written.problems])


def _tell(found: MaskSet, written: Written, what: str) -> None:
    undone = f"; {found.unlabelled} that nobody has done are left out" if found.unlabelled else ""
    console.print(
        f"{what}, {len(found.classes.names)} classes: {written.loss}{undone}.",
        highlight=False,
        soft_wrap=True,
    )
