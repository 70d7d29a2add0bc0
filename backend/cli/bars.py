"""The progress bar of commands that work through images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backend.cli.common import errors, first_process

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Steps:
    """One bar that names the step under way; its methods fit what `ml` calls back."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def step(self, name: str) -> None:
        """Begin a step of which it is not known how long it takes."""
        self._bar.reset(self._task, description=name, total=None)

    def name(self, name: str) -> None:
        """Call what is under way by another name, and go on."""
        self._bar.update(self._task, description=name)

    def progress(self, done: int, total: int) -> None:
        """Tell how much of the step is done."""
        self._bar.update(self._task, completed=done, total=total)

    def report(self, name: str, done: int, total: int) -> None:
        """Tell of a step by name and how much of it is done; a total of 0 is not known."""
        self._bar.update(self._task, description=name, completed=done, total=total or None)

    def line(self, text: str) -> None:
        """Say something that stays."""
        if first_process():
            self._bar.console.print(text, highlight=False)


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
    with Progress(*columns, console=errors, transient=True, disable=not first_process()) as bar:
        yield Steps(bar, bar.add_task(first, total=None))
