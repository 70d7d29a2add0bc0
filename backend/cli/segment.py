"""`lineup segment`: networks for masks. A new command is one module and one line here."""

from __future__ import annotations

import typer

from backend.cli.segment_eval import evaluate
from backend.cli.segment_predict import predict
from backend.cli.segment_publish import publish
from backend.cli.segment_train import train

segment = typer.Typer(
    help="Train networks on masks, judge them, and have them draw masks.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
segment.command("train")(train)
segment.command("eval")(evaluate)
segment.command("predict")(predict)
segment.command("publish")(publish)
