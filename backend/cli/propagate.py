"""`lineup propagate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.common import Failure, clear_errors, console
from backend.cli.datasets import Backbone, Cache, Force, Skip, embed, load_embedder, tell_problems

if TYPE_CHECKING:
    from ml.datasets import Dataset
    from ml.datasets.embedding import Embedded
    from ml.embedders import Embedder
    from ml.propagation import Propagated


def propagate(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of what comes of it; --finish reads it again.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="What is labelled: any dataset, its images in --images or beside it."),
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Folder of all images.")] = None,
    precision: Annotated[
        float,
        typer.Option(
            "--precision", min=0.5, max=1.0, help="Wanted share of right labels among those propagated."
        ),
    ] = 0.95,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="The true labels, where they are known: says how right it was."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--finish", help="What people answered to OUT/to_label.jsonl: label all that is left."),
    ] = None,
    backbone: Backbone = "auto",
    cache: Cache = None,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Label a large folder from a small labelled set; what is doubtful is listed for people.

    OUT/propagated.jsonl has the labels, OUT/to_label.jsonl what people should label, the most doubtful first.

    Example: `lineup propagate --labels labels.jsonl --images photos --out spread`

    Example: `lineup propagate --finish answers.jsonl --out spread`
    """
    with clear_errors():
        if answers is None and (labels is None or images is None):
            raise Failure("--labels and --images are needed to begin, --finish to end", 2)
        tools = _Tools(load_embedder(backbone), cache, skip_problems, force)
        if answers is not None:
            _finish(out, answers, images, tools)
        elif labels is not None and images is not None:
            _begin(out, labels, images, truth, precision, tools)


@dataclass(frozen=True)
class _Tools:
    """What both halves work with."""

    embedder: Embedder
    cache: Path | None
    skip_problems: bool
    force: bool

    def embed(self, dataset: Dataset, what: str) -> Embedded:
        """Embed a dataset behind a progress bar."""
        return embed(dataset, self.embedder, self.cache, skip_problems=self.skip_problems, what=what)


def _begin(
    out: Path, labels: Path, images: Path, truth: Path | None, precision: float, tools: _Tools
) -> None:
    from ml.datasets import read_dataset
    from ml.datasets.encoding import encode
    from ml.datasets.place import placed, refuse_overwrite
    from ml.propagation import propagate as spread
    from ml.propagation.folder import write_propagated
    from ml.selection import without

    refuse_overwrite(out, force=tools.force)
    known = tools.embed(_read(labels, images, tools).labelled(), "labelled images")
    every = tools.embed(read_dataset(images, format="folders"), str(images))
    pool = without(every, set(known.keys))
    classes, y = encode(known.examples)
    with console.status("two opinions on every image"):
        found = spread(known.vectors, y, len(classes), pool.vectors, known.keys, precision=precision)
    report: dict[str, Any] = {
        "backbone": tools.embedder.name,
        "labelled": len(known),
        "pool": len(pool),
        "to_label": int(found.ask.sum()),
        "share_to_label": float(found.ask.mean()),
        "precision": precision,
        "threshold": found.threshold,
    }
    if truth is not None:
        true = tools.embed(_read(truth, images, tools).labelled(), "the truth")
        report |= _right(found, true, pool, classes)
    with placed(out, force=tools.force) as draft:
        draft.mkdir()
        write_propagated(draft, known, pool, found, classes, report)
    console.print(
        f"{report['pool'] - report['to_label']} of {report['pool']} images got a label; "
        f"[bold]{report['to_label']}[/] ({report['share_to_label']:.0%}) need a person: {out / 'to_label.jsonl'}",
        highlight=False,
        soft_wrap=True,
    )
    if "propagated_right" in report:
        console.print(f"Of the labels it gave, {report['propagated_right']:.1%} are right.", highlight=False)
    console.print(f"Then: lineup propagate --finish ANSWERS --out {out}", highlight=False, soft_wrap=True)
    tell_problems([*known.problems, *every.problems])


def _finish(out: Path, answers: Path, images: Path | None, tools: _Tools) -> None:
    from ml.datasets import Dataset, write_dataset
    from ml.propagation.folder import finish_folder

    given = tools.embed(_read(answers, images, tools).labelled(), "answers")
    done = finish_folder(out, given, lambda examples: tools.embed(Dataset(out, examples), str(out)))
    target = out / "labels.jsonl"
    write_dataset(done.examples, target, force=tools.force)
    counts = ", ".join(f"{count} {source}" for source, count in done.counts.items() if count)
    console.print(
        f"Wrote {len(done.examples)} labels to {target} ({counts}).", highlight=False, soft_wrap=True
    )
    tell_problems(given.problems)


def _read(path: Path, images: Path | None, tools: _Tools) -> Dataset:
    from ml.datasets import ReadOptions, read_dataset

    options = ReadOptions(images)
    return read_dataset(path, options=options, skip_problems=tools.skip_problems)


def _right(found: Propagated, true: Embedded, pool: Embedded, classes: list[str]) -> dict[str, float]:
    """Return the share of right labels among those given, where the truth of an image is known."""
    label_of = {key: one.label for key, one in zip(true.keys, true.examples, strict=True)}
    given = [
        (classes[found.labels[row]], label_of[key])
        for row, key in enumerate(pool.keys)
        if not found.ask[row] and key in label_of
    ]
    return {"propagated_right": sum(ours == theirs for ours, theirs in given) / len(given)} if given else {}
