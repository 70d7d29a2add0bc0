"""`lineup propagate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.bars import steps
from backend.cli.common import Failure, clear_errors, console, label_studio_settings
from backend.cli.datasets import embed, load_embedder, tell_problems
from backend.cli.reading import (
    AllowNoncommercial,
    Backbone,
    Cache,
    DocumentRoot,
    Force,
    ImageColumn,
    LabelColumn,
    ProjectTitle,
    ReadAs,
    Seed,
    Skip,
    load,
    load_images,
    project_id,
)

if TYPE_CHECKING:
    from ml.datasets import Dataset, Example
    from ml.datasets.embedding import Embedded
    from ml.embedders import Embedder


PRECISION = 0.95


def propagate(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of what comes of it; --finish reads it again.")
    ],
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels",
            help="What is labelled: any dataset, its images in --images or beside it; again for answers.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of all images, or project:ID.")
    ] = None,
    precision: Annotated[
        float,
        typer.Option(
            "--precision", min=0.5, max=1.0, help="Wanted share of right labels among those propagated."
        ),
    ] = PRECISION,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="Ask people for at most so many labels.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="The true labels, where they are known: says how right it was."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--finish",
            metavar="ANSWERS",
            help="What people answered, any dataset or project:ID: label all that is left.",
        ),
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Make a Label Studio project of what people should label.")
    ] = False,
    document_root: DocumentRoot = None,
    project_title: ProjectTitle = "",
    backbone: Backbone = "auto",
    allow_noncommercial: AllowNoncommercial = False,
    cache: Cache = None,
    read_as: ReadAs = "",
    image_column: ImageColumn = "",
    label_column: LabelColumn = "",
    seed: Seed = 0,
    skip_problems: Skip = False,
    force: Force = False,
) -> None:
    """Label a large folder from a small labelled set; what is doubtful is listed for people.

    OUT/propagated.jsonl has the labels, OUT/to_label.jsonl what people should label, the most doubtful first, and
    OUT/map.png shows both.

    Example: `lineup propagate --labels labels.jsonl --images photos --out spread --review`

    Example: `lineup propagate --finish project:7 --out spread`
    """
    with clear_errors():
        given = _Given(images, read_as, image_column, label_column, backbone, allow_noncommercial, cache,
                       skip_problems, force)  # fmt: skip
        if answers is not None:
            if labels or review or budget or backbone != "auto" or precision != PRECISION:
                raise Failure("--finish needs ANSWERS and --out alone: the folder knows the rest", 2)
            _finish(out, answers, truth, given)
            return
        if images is None or (not labels and project_id(images) is None):
            raise Failure("--labels and --images are needed to begin, --finish to end", 2)
        if review:
            label_studio_settings()  # what is missing is told before hours of work
        asked, classes = _begin(out, images, labels or [], truth, given, precision, budget, seed)
        if review and asked:
            _review(asked, classes, project_title or f"Labels for {out.resolve().name}", document_root, out)
        else:
            console.print(
                f"Then: lineup propagate --finish ANSWERS --out {out}", highlight=False, soft_wrap=True
            )


@dataclass
class _Given:
    """How both halves read datasets and embed them."""

    images: Path | None
    read_as: str
    image_column: str
    label_column: str
    backbone: str
    allow_noncommercial: bool
    cache: Path | None
    skip_problems: bool
    force: bool
    embedder: Embedder | None = None

    def read(self, source: Path) -> Dataset:
        """Read a dataset whose images may be among all images."""
        beside = self.images if self.images is not None and project_id(self.images) is None else None
        how = (self.read_as, beside, self.image_column, self.label_column, self.skip_problems)
        return load(source, *how, cache=self.cache)

    def embed(self, dataset: Dataset, what: str) -> Embedded:
        """Embed a dataset behind a progress bar."""
        if self.embedder is None:
            self.embedder = load_embedder(self.backbone, allow_noncommercial=self.allow_noncommercial)
        return embed(dataset, self.embedder, self.cache, skip_problems=self.skip_problems, what=what)


def _begin(
    out: Path,
    images: Path,
    labels: list[Path],
    truth: Path | None,
    given: _Given,
    precision: float,
    budget: int | None,
    seed: int,
) -> tuple[list[Example], list[str]]:
    """Propagate; return what people are asked, and the classes."""
    from ml.datasets import Dataset
    from ml.datasets.encoding import encode
    from ml.datasets.place import placed, refuse_overwrite
    from ml.propagation import propagate as propagate_labels
    from ml.propagation.contents import copies, one_of_each
    from ml.propagation.folder import questions, write_propagated
    from ml.propagation.picture import draw_pool
    from ml.propagation.truth import share_right
    from ml.selection import without

    refuse_overwrite(out, force=given.force)
    all_images = load_images(images, given.label_column, given.skip_problems, cache=given.cache)
    read = [given.read(path) for path in labels] or [all_images]
    begun = Dataset(
        read[0].source,
        [example for one in read for example in one.labelled()],
        [problem for one in read for problem in one.problems],
    )
    known = one_of_each(given.embed(begun, "labelled images"), skip_problems=given.skip_problems)
    every = given.embed(all_images, str(images))
    pool = without(every, set(known.keys))
    twins = copies(every, known, pool)
    classes, y = encode(known.examples)
    with console.status("two opinions on every image"):
        found = propagate_labels(
            known.vectors, y, len(classes), pool.vectors, known.keys, precision=precision, budget=budget
        )
    kept = found.propagated
    report: dict[str, Any] = {
        "backbone": given.embedder.name if given.embedder else given.backbone,
        "labelled": len(known),
        "pool": len(pool),
        "copies": len(twins),
        "propagated": int(kept.sum()),
        "to_label": int(found.ask.sum()),
        "share_to_label": float(found.ask.mean()),
        "left": int(found.left.sum()),
        "precision": precision,
        "threshold": found.threshold,
    }
    if truth is not None:
        true = given.embed(given.read(truth).labelled(), "the truth")
        rows = kept.nonzero()[0].tolist()
        report["propagated_right"] = share_right(
            [pool.keys[row] for row in rows], [classes[found.labels[row]] for row in rows], true
        )
    with placed(out, force=given.force) as draft:
        draft.mkdir()
        write_propagated(draft, known, pool, found, classes, report, twins)
        with console.status("drawing the map"):
            draw_pool(draft / "map.png", known.vectors, y, pool.vectors, found, classes, seed=seed)
    _tell_begun(report, out)
    tell_problems([*known.problems, *every.problems])
    return questions(pool, found, classes), classes


def _tell_begun(report: dict[str, Any], out: Path) -> None:
    console.print(
        f"{report['propagated']} of {report['pool']} images got a label; "
        f"[bold]{report['to_label']}[/] ({report['share_to_label']:.1%}) need a person: {out / 'to_label.jsonl'}",
        highlight=False,
        soft_wrap=True,
    )
    if report["copies"]:
        console.print(
            f"{report['copies']} more are copies of others, and get the same label in the end.",
            highlight=False,
        )
    if report["left"]:
        console.print(f"{report['left']} more get theirs from the answers.", highlight=False)
    if report.get("propagated_right") is not None:
        console.print(f"Of the labels it gave, {report['propagated_right']:.1%} are right.", highlight=False)


def _review(
    asked: list[Example], classes: list[str], title: str, document_root: Path | None, out: Path
) -> None:
    from backend.labelstudio.client import LabelStudioClient
    from backend.questions import create_questions

    settings = label_studio_settings()
    with (
        LabelStudioClient(settings.label_studio_url, settings.api_key) as client,
        steps("importing") as bar,
    ):
        made = create_questions(
            client,
            asked,
            classes,
            title=title,
            prefix=settings.field_prefix,
            document_root=document_root,
            progress=bar.progress,
        )
    console.print(
        f"Project {made.project_id} with {made.tasks} tasks: {made.url}\n"
        f"Then: lineup propagate --finish project:{made.project_id} --out {out}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


def _finish(out: Path, answers: Path, truth: Path | None, given: _Given) -> None:
    from ml.datasets import Dataset, write_dataset
    from ml.datasets.place import add_to_folder, refuse_overwrite
    from ml.propagation.folder import SPREAD, finish_folder, read_backbone
    from ml.propagation.truth import share_right

    target = out / "labels.jsonl"
    refuse_overwrite(target, force=given.force)
    given.backbone = read_backbone(out)
    said = given.embed(given.read(answers).labelled(), "answers")
    done = finish_folder(out, said, lambda examples: given.embed(Dataset(out, examples), str(out)))
    write_dataset(done.examples, target, force=given.force)
    add_to_folder(out, target.name)
    counts = ", ".join(f"{count} {source}" for source, count in done.counts.items())
    how = {"neighbours": "the neighbours' vote", "classifier": "a classifier"}
    by = (
        f", the last by {how.get(done.learner, 'neighbours and a classifier together')}"
        if done.learner
        else ""
    )
    console.print(
        f"Wrote {len(done.examples)} labels to {target} ({counts}{by}).", highlight=False, soft_wrap=True
    )
    if truth is not None:
        true = given.embed(given.read(truth).labelled(), "the truth")
        for what, wanted in (("all labels", None), ("labels that nobody gave", SPREAD)):
            rows = [row for row, one in enumerate(done.examples) if wanted in (None, one.more["source"])]
            right = share_right(
                [done.keys[row] for row in rows], [str(done.examples[row].label) for row in rows], true
            )
            if right is not None:
                console.print(f"Of {what}, {right:.1%} are right.", highlight=False)
    tell_problems(said.problems)
