"""`lineup check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.bars import steps
from backend.cli.common import clear_errors, console
from backend.cli.datasets import load_embedder
from backend.cli.masks import Classes, Ignore, MasksArgument, ReadMasksAs, load_masks, mask_options
from backend.cli.reading import AllowNoncommercial, Cache, Force, Images

if TYPE_CHECKING:
    from ml.mask_sets.check import Checked

_SHOWN = 5
_SIZES = 6


def check(
    source: MasksArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for faults.csv, classes.csv and check.png.")
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            "--embedder",
            help="Whose vectors tell near-duplicates between parts; none: files of the same content alone.",
        ),
    ] = "auto",
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadMasksAs = "",
    images: Images = None,
    classes: Classes = "",
    ignore: Ignore = 255,
    force: Force = False,
) -> None:
    """Tell what is missing, broken or out of balance in a set of masks; ends with 1 where it cannot be learned from.

    Example: `lineup check scans/ --classes background,crack,rust --out checked`
    """  # fmt: skip
    with clear_errors():
        from ml.datasets.place import placed, refuse_overwrite
        from ml.mask_sets.check import check as look
        from ml.mask_sets.check_files import write_check
        from ml.mask_sets.leaks import find_leaks

        if out is not None:
            refuse_overwrite(out, force=force)
        options = mask_options(images, classes, ignore)
        found = load_masks(source, read_as, options, True, cache=cache)
        embedder = None
        if backbone != "none" and len({scene.split for scene in found}) > 1:
            embedder = load_embedder(backbone, allow_noncommercial=allow_noncommercial)
        with steps("looking at masks") as bar:
            checked = look(found, progress=bar.progress)
            bar.step("comparing parts")
            checked.faults += find_leaks(found, embedder, cache=cache, progress=bar.progress)
        if out is not None:
            with placed(out, force=force) as draft:
                write_check(checked, draft)
        _tell(checked)
        if out is not None:
            console.print(f"Wrote {out}.", highlight=False, soft_wrap=True)
        if not checked.good:
            raise typer.Exit(1)


def _tell(checked: Checked) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ml.mask_sets.check import KINDS, shares

    table = Table("class", title="Share of pixels, and masks that have the class", title_justify="left")
    for name, part in checked.parts.items():
        table.add_column(f"{escape(name) or 'all'} ({part.count})", justify="right")
    for number, name in enumerate(checked.names):
        cells = (
            f"{float(shares(part.pixels)[number]):.2%}  {int(part.images[number])}"
            for part in checked.parts.values()
        )
        table.add_row(escape(name), *cells)
    if any(part.ignored for part in checked.parts.values()):
        ignored = (
            f"{part.ignored / max(part.ignored + part.pixels.sum(), 1):.2%}"
            for part in checked.parts.values()
        )
        table.add_row("[dim]not labelled[/]", *ignored)
    console.print(table)
    for name, part in checked.parts.items():
        sizes = ", ".join(
            f"{width} x {height} ({count})" for (height, width), count in part.sizes.most_common(_SIZES)
        )
        more = f", and {len(part.sizes) - _SIZES} other sizes" if len(part.sizes) > _SIZES else ""
        console.print(
            f"Sizes{f' in {name}' if name else ''}: {sizes}{more}.", highlight=False, soft_wrap=True
        )
    for kind, faults in checked.by_kind().items():
        colour = "yellow" if faults[0].harmless else "bold red"
        console.print(f"[{colour}]{kind} ({len(faults)}):[/] {KINDS[kind]}", highlight=False, soft_wrap=True)
        for fault in faults[:_SHOWN]:
            console.print(f"  {escape(f'{fault.where}: {fault.what}')}", highlight=False, soft_wrap=True)
        if len(faults) > _SHOWN:
            console.print(f"  and {len(faults) - _SHOWN} more", highlight=False)
    console.print(
        "Nothing is wrong." if checked.good else "Mend what is red before a network learns from it."
    )
