"""`lineup export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from backend.cli.common import ProjectOption, clear_errors, console, errors, label_studio_settings
from backend.cli.masks import FORMATS

Format = Literal[
    "jsonl", "csv", "json", "folders", "masks", "mmseg", "coco", "coco-polygons", "label-studio-brush",
    "label-studio-polygons",
]  # fmt: skip


def export(
    project: ProjectOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write, or folder: `folders`, `masks`, `mmseg`.")
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help=f"Of choices: jsonl, csv, json or folders. Of masks: {FORMATS}; csv, jsonl or json for the table "
            "alone. Without it jsonl, or masks.",
        ),
    ] = None,
    drop_suspects: Annotated[
        bool, typer.Option("--drop-suspects", help="Leave out labels that are suspect and not reviewed.")
    ] = False,
    apply_suggestions: Annotated[
        float | None,
        typer.Option(
            "--apply-suggestions",
            min=0,
            max=1,
            metavar="MIN_CONFIDENCE",
            help="Replace a suspect label by the suggestion where the model is at least this confident.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write the corrected labels, one row a labelled task; of masks the masks, and a table of them.

    Example: `lineup export --project 7 --format csv --out labels.csv --drop-suspects`
    """
    with clear_errors():
        settings = label_studio_settings()
        from backend.export import export_project

        with console.status("exporting"):
            done = export_project(
                settings,
                project,
                format or "",
                out,
                drop_suspects=drop_suspects,
                apply_suggestions=apply_suggestions,
                force=force,
            )
        counts = ", ".join(f"{count} {status}" for status, count in sorted(done.statuses.items()))
        console.print(
            f"Wrote {done.rows} rows to {out}" + (f" ({counts})" if counts else ""), highlight=False
        )
        if done.table is not None and done.table != out:
            console.print(
                f"Table of them: {done.table}. Masks: {done.lost}.", highlight=False, soft_wrap=True
            )
        if drop_suspects or apply_suggestions is not None:
            console.print(f"suspects dropped: {done.dropped}, suggestions applied: {done.applied}")
        for line in done.left_out:
            errors.print(f"[yellow]not exported:[/] {line}", highlight=False, soft_wrap=True)
