"""One labelled image of a dataset on disk, the dataset, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Example:
    """An image and its label.

    Attributes
    ----------
    image : str
        Path or URI as the source has it.
    label : str, list of str or None
        Its class; a list where an image may have several; None without a label.
    path : Path or None
        The image's file; None where there is only a URI.
    where : str
        The place in the source, for messages: ``labels.jsonl, line 3``.
    more : dict of str to object
        Further columns, in order.
    """

    image: str
    label: str | list[str] | None
    path: Path | None = None
    where: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> dict[str, Any]:
        """The column ``task``, where a task of Label Studio is meant; otherwise nothing."""
        return {"task": self.more["task"]} if "task" in self.more else {}

    def as_row(self) -> dict[str, Any]:
        """Return ``image``, ``label`` and the further columns; one of these names becomes ``source_...``."""
        own = {"image": self.image, "label": self.label}
        return own | {f"source_{name}" if name in own else name: value for name, value in self.more.items()}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a source that cannot be used, and where."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class DatasetError(ValueError):
    """A dataset cannot be used; the message names the place and says what to do."""


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Attributes
    ----------
    source : Path
    examples : list of Example
    problems : list of Problem
        What was left out.
    """

    source: Path
    examples: list[Example]
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def labelled(self) -> Dataset:
        """Return the part that has labels."""
        return replace(self, examples=[example for example in self.examples if example.label is not None])

    @property
    def classes(self) -> list[str]:
        """The classes there are, sorted."""
        labels = (example.label for example in self.examples if example.label is not None)
        return sorted({name for label in labels for name in ([label] if isinstance(label, str) else label)})


def list_problems(problems: Sequence[Problem]) -> str:
    """Return the first ten problems, a line each, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more")
    return "\n".join(lines)


def unusable(problems: Sequence[Problem], total: int, what: str = "images") -> str:
    """Return the message that refuses a source for its problems: of so many images, or entries, in all."""
    return (
        f"{len(problems)} of {total} {what} cannot be used. Mend them, or leave them out with "
        f"--skip-problems:\n{list_problems(problems)}"
    )
