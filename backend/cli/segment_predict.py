"""`lineup segment predict`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.masks import Ignore, ReadMasksAs, load_masks, mask_options
from backend.cli.reading import Cache, Force, Images, Skip, project_id


def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its model.safetensors.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES", help="Folder of images, one image, or masks as all commands read them."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the masks.")] = Path("predicted"),
    part: Annotated[
        str, typer.Option(metavar="NAME", help="Of a dataset only this part: train, val or test.")
    ] = "",
    overlays: Annotated[bool, typer.Option("--overlays", help="Also draw each mask over its image.")] = False,
    cache: Cache = None,
    read_as: ReadMasksAs = "",
    images: Images = None,
    ignore: Ignore = 255,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Draw the masks of images: PNG files with a palette, of each image's size, and classes.txt.

    Example: `lineup segment predict runs/2025-03-01_10-00-00 new-scans/ --overlays --out predicted`
    """
    with clear_errors():
        from ml.datasets.place import placed, refuse_overwrite
        from ml.mask_sets import format_of
        from ml.mask_sets.scene import of_part
        from ml.segmentation.unet.files import images_in, write_predicted
        from ml.segmentation.unet.model import UNetModel

        refuse_overwrite(out, force=force)
        model = UNetModel.load(run)
        problems = []
        if read_as or project_id(source) is not None or (source.exists() and format_of(source) is not None):
            options = replace(mask_options(images, ignore=ignore), classes=model.classes.names)
            found = load_masks(source, read_as, options, skip_problems, cache=cache)
            scenes, problems = of_part(found, part), found.problems
        elif part:
            raise ValueError(f"{source} is no dataset of masks and has no parts: leave out --part")
        else:
            scenes = images_in(source)
        with steps("drawing masks") as bar, placed(out, force=force) as draft:
            done = write_predicted(
                model, scenes, draft, overlays=overlays, skip_problems=skip_problems, progress=bar.progress
            )
        console.print(f"Wrote {done.count} masks to {out}.", highlight=False, soft_wrap=True)
        tell_problems([*problems, *done.problems])
