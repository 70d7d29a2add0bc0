"""What the commands on datasets share besides their options: the embedder, progress bars, what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from backend.cli.common import console, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    with progress_bar(f"embedding {what}") as report:
        return embed_dataset(dataset, embedder, cache=cache, skip_problems=skip_problems, progress=report)


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; gives what is to be called with how much is done, and of how much."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def tell_problems(problems: Sequence[Problem]) -> None:
    """Name what was left out."""
    from ml.datasets.example import list_problems

    if problems:
        errors.print(
            f"[yellow]left out ({len(problems)}):[/]\n{escape(list_problems(problems))}",
            highlight=False,
            soft_wrap=True,
        )
