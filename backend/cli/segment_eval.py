"""`lineup segment eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console
from backend.cli.datasets import tell_problems
from backend.cli.masks import Classes, Ignore, MasksArgument, ReadMasksAs, load_masks, mask_options
from backend.cli.reading import Cache, Force, Images, Skip

if TYPE_CHECKING:
    from rich.table import Table

    from ml.segmentation.unet.judge import Judged


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its model.safetensors.")],
    source: MasksArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for figures, sheets and pictures.")] = Path(
        "evaluation"
    ),
    part: Annotated[
        str, typer.Option(metavar="NAME", help="Only this part: train, val or test; without it, all.")
    ] = "",
    pictures: Annotated[
        int, typer.Option(min=0, help="Images, from the worst to the best, that get a picture of their own.")
    ] = 20,
    cache: Cache = None,
    read_as: ReadMasksAs = "",
    images: Images = None,
    classes: Classes = "",
    ignore: Ignore = 255,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Tell what a network is worth on masks: Dice and IoU by class and image, the ten best and the ten worst.

    Example: `lineup segment eval runs/2025-03-01_10-00-00 scans/ --part test --out tested`
    """  # fmt: skip
    with clear_errors():
        import shutil

        from ml.datasets.place import placed, refuse_overwrite
        from ml.mask_sets.scene import of_part
        from ml.segmentation.unet.files import write_judged
        from ml.segmentation.unet.judge import judge_unet, read_like
        from ml.segmentation.unet.model import UNetModel

        refuse_overwrite(out, force=force)
        model = UNetModel.load(run)
        options = mask_options(images, classes, ignore)
        found = read_like(
            model, source, options, lambda how: load_masks(source, read_as, how, skip_problems, cache=cache)
        )
        scenes = of_part(found, part)
        with steps("judging") as bar, placed(out, force=force) as draft:
            judged = judge_unet(model, found, scenes, skip_problems=skip_problems, progress=bar.progress)
            bar.step("drawing")
            write_judged(judged, model, found, draft, pictures=pictures, progress=bar.progress)
            if (curves := (run if run.is_dir() else run.parent) / "curves.png").is_file():
                shutil.copyfile(curves, draft / "curves.png")
        console.print(_table(judged))
        figures = judged.as_dict()
        console.print(
            f"mean Dice [bold]{_text(figures['mean_dice'])}[/], mean IoU {_text(figures['mean_iou'])}, pixel accuracy "
            f"{_text(figures['pixel_accuracy'])}; mean Dice of an image {_text(figures['image_dice'])}, "
            f"{figures['images']} images. Wrote {out}.",
            highlight=False,
            soft_wrap=True,
        )
        tell_problems([*found.problems, *judged.problems])


def _table(judged: Judged) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("class", "Dice", "IoU", "pixels")
    for name, one in judged.as_dict()["classes"].items():
        table.add_row(escape(name), _text(one["dice"]), _text(one["iou"]), f"{one['pixels']:,}")
    return table


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
