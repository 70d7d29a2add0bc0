"""The command line, `lineup ...`. A new command is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

import typer

from backend.cli.audit import audit
from backend.cli.check import check
from backend.cli.clean import clean
from backend.cli.config import config
from backend.cli.connect import connect
from backend.cli.convert import convert
from backend.cli.evaluate import evaluate
from backend.cli.export import export
from backend.cli.overlay import overlay
from backend.cli.predict import predict
from backend.cli.propagate import propagate
from backend.cli.refresh import refresh
from backend.cli.segment import segment
from backend.cli.select import select
from backend.cli.serve import serve
from backend.cli.split import split
from backend.cli.status import status
from backend.cli.train import train
from backend.cli.versions import rollback, versions
from backend.cli.worker import worker
from backend.doctor.command import doctor

app = typer.Typer(
    name="lineup",
    help="""Put the right task in front of the annotator: an ML backend for Label Studio.

    A first session:

      lineup serve                    start the server and its worker

      lineup connect --project 7      connect project 7: backend, webhook, tabs, order

      lineup doctor                   what is not well, and how to mend it

      lineup status                   what was learned, what is running, what failed

      lineup export --project 7 --format jsonl --out labels.jsonl

    Settings are environment variables, or lines of a .env file. LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY
    come first.

    Exit codes: 0 done, 1 it failed, 2 wrong usage or settings.""",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Commands = tuple[Callable[..., None], ...]
# in the order of `lineup --help`
ON_PROJECTS: Commands = (serve, connect, doctor, refresh, status, versions, rollback, export, worker)
ON_DATASETS: Commands = (
    convert, audit, clean, select, evaluate, propagate, split, config, train, predict, check, overlay,
)  # fmt: skip
for command in ON_PROJECTS:
    app.command(rich_help_panel="A Label Studio project")(command)
for command in ON_DATASETS:
    app.command(rich_help_panel="Images in a folder")(command)
app.add_typer(segment, name="segment", rich_help_panel="Images in a folder")
