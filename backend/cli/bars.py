"""The progress bar of commands that work through images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.cli.common import errors


class Steps:
    """One bar that names the step under way; its methods fit what `ml` calls back."""

    def __init__(self, bar, task) -> None:  # type: ignore[no-untyped-def]
        self._bar, self._task = bar, task

    def step(self, name: str) -> None:
        """Begin a step of which it is not known how long it takes."""
        self._bar.reset(self._task, description=name, total=None)

    def progress(self, done: int, total: int) -> None:
        """Tell how much of the step is done."""
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def steps(first: str) -> Iterator[Steps]:
    """Show a bar, on standard error so that output can be redirected, until the work is done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as bar:
        yield Steps(bar, bar.add_task(first, total=None))
