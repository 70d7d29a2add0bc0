"""What the commands on datasets share besides their options: the embedder, progress bars, what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from backend.cli.bars import steps
from backend.cli.common import console, errors, first_process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml.datasets import Dataset, Problem
    from ml.datasets.embedding import Embedded
    from ml.embedders import Embedder


def load_embedder(name: str, *, allow_noncommercial: bool = False) -> Embedder:
    """Return the embedder of a name; loading it can take seconds."""
    from ml.embedders import make_embedder

    with console.status(f"loading {name}"):
        embedder = make_embedder(name, allow_noncommercial=allow_noncommercial)
    if embedder.note:
        errors.print(f"[yellow]{embedder.note}[/]", soft_wrap=True, highlight=False)
    return embedder


def embed(
    dataset: Dataset, embedder: Embedder, cache: Path | None, *, skip_problems: bool, what: str
) -> Embedded:
    """Embed a dataset behind a progress bar."""
    from ml.datasets.embedding import embed_dataset

    with steps(f"embedding {what}") as bar:
        return embed_dataset(
            dataset, embedder, cache=cache, skip_problems=skip_problems, progress=bar.progress
        )


def tell_problems(problems: Sequence[Problem]) -> None:
    """Name what was left out."""
    from ml.datasets.example import list_problems

    if problems and first_process():
        errors.print(
            f"[yellow]left out ({len(problems)}):[/]\n{escape(list_problems(problems))}",
            highlight=False,
            soft_wrap=True,
        )
