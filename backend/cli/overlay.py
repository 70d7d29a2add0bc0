"""`lineup overlay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.masks import Classes, Ignore, MasksArgument, ReadMasksAs, load_masks, mask_options
from backend.cli.reading import Cache, Force, Images, Seed, Skip

_COLUMNS, _CELL, _SHEET = 4, 320, 200


def overlay(
    source: MasksArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for a picture an image, or one .png file for all.")
    ] = Path("overlays"),
    count: Annotated[int, typer.Option(min=0, help="Draw so many, by lot; 0: all, or 200 in one file.")] = 0,
    part: Annotated[str, typer.Option(metavar="NAME", help="Only this part: train, val or test.")] = "",
    opacity: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the classes' colours.")] = 0.45,
    side: Annotated[int, typer.Option(min=16, help="Longer side of a picture in pixels.")] = 1024,
    cache: Cache = None,
    read_as: ReadMasksAs = "",
    images: Images = None,
    classes: Classes = "",
    ignore: Ignore = 255,
    seed: Seed = 0,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Draw masks over their images, a picture each, or all in one sheet.

    Example: `lineup overlay scans/ --part val --out overlays`

    Example: `lineup overlay tasks.json --images photos --count 40 --out sheet.png`
    """  # fmt: skip
    with clear_errors():
        import numpy as np

        from ml.contact_sheet import contact_sheet
        from ml.datasets.example import Problem
        from ml.datasets.folders import folder_name
        from ml.datasets.place import placed, refuse_overwrite
        from ml.mask_sets.overlay import draw_scene
        from ml.mask_sets.scene import of_part

        refuse_overwrite(out, force=force)
        options = mask_options(images, classes, ignore)
        found = load_masks(source, read_as, options, skip_problems, cache=cache)
        chosen = of_part(found, part)
        single = out.suffix.lower() == ".png"
        most = count or (_SHEET if single else len(chosen))
        if most < len(chosen):
            rows = np.random.default_rng(seed).choice(len(chosen), most, replace=False)
            chosen = [chosen[row] for row in sorted(rows.tolist())]
        cells, problems, drawn = [], list(found.problems), 0
        with placed(out, force=force) as draft, steps("drawing") as bar:
            for number, scene in enumerate(chosen, 1):
                try:
                    picture = draw_scene(found, scene, side=_CELL if single else side, opacity=opacity)
                except (OSError, ValueError) as error:
                    if not skip_problems:
                        raise ValueError(
                            f"{scene.where}: {error}; go on without it: --skip-problems"
                        ) from error
                    problems.append(Problem(scene.where, str(error)))
                    continue
                drawn += 1
                if single:
                    cells.append((picture, scene.image))
                else:
                    place = (
                        draft
                        / (folder_name(scene.split) if scene.split else "")
                        / f"{number:05d}-{Path(scene.image).stem}.jpg"
                    )
                    place.parent.mkdir(parents=True, exist_ok=True)
                    picture.save(place, quality=90)
                bar.progress(number, len(chosen))
            if not drawn:
                raise ValueError(f"{source}: none of {len(chosen)} masks can be drawn: {problems[-1]}")
            if single:
                contact_sheet(cells, _COLUMNS, _CELL).save(draft, "PNG")
        console.print(f"Drew {drawn} masks: {out}.", highlight=False, soft_wrap=True)
        tell_problems(problems)
