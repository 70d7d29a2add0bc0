"""Play the people: an annotator in the order Label Studio serves, a reviewer at *Review suspects*, then the export."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from backend.export import export_project
from demo.annotator import Annotator, Reviewer, chosen
from demo.digits import LABEL_CONFIG
from demo.figures import Pool, random_order, share_right
from demo.stage import Stage, bar
from ml.vectors import VectorStore, content_key

ROUNDS = 4
PER_ROUND = 30
CONTROLS = 3


@dataclass(frozen=True)
class Campaign:
    """A learning curve beside those of random order.

    Attributes
    ----------
    counts : list of int
        Labels given since the start.
    lineup : list of float
        Share of the images without a label at the start whose class is now right: the annotator's label, else
        the prediction Lineup serves. In [0, 1].
    control : ndarray of float, shape (seeds, rounds)
        The same measure for the same learner and annotator in random order.
    """

    counts: list[int]
    lineup: list[float]
    control: np.ndarray

    @property
    def improved(self) -> bool:
        """Whether more is right than at the start, and more than in random order on average."""
        return bool(self.lineup[-1] > self.lineup[0] and self.lineup[-1] > self.control[:, -1].mean())


def annotate(stage: Stage) -> Campaign:
    """Label in rounds, waiting for Lineup after each, and compare with random order."""
    annotator = Annotator(stage.label_studio, stage.project, stage.truth, stage.person("bea@example.com"))
    counts, shares = [0], [pool_share(stage)]
    before = len(stage.digits.given)
    for number in range(1, ROUNDS + 1):
        with bar(stage.console, f"round {number} of {ROUNDS}: next task, answer", PER_ROUND) as update:
            for done, _ in enumerate(annotator.annotate(PER_ROUND), 1):
                update(completed=done)
        counts.append(len(annotator.agreed))
        stage.catch_up("Lineup learns", labels=before + counts[-1])
        shares.append(pool_share(stage))
    pool = make_pool(stage)
    with bar(stage.console, "random order, for comparison", CONTROLS * len(counts)) as update:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            update(completed=done)

        control = np.array([random_order(pool, counts, seed, step) for seed in range(CONTROLS)])
    agreed = sum(annotator.agreed)
    stage.console.print(
        f"{agreed} of {len(annotator.agreed)} tasks came with a right pre-annotation, "
        "although the hardest come first."
    )
    return Campaign(counts, shares, control)


def pool_share(stage: Stage) -> float:
    """Return the share of images without a label at the start whose class is right now."""
    tasks = [task for task in stage.tasks() if stage.index(task) not in stage.digits.given]
    open_tasks = [task for task in tasks if not task["annotations"]]
    predictions = stage.lineup.predict(
        stage.project, [{"id": t["id"], "data": t["data"]} for t in open_tasks], LABEL_CONFIG
    )
    right = share_right([chosen(p["result"]) for p in predictions], [stage.truth(t) for t in open_tasks])
    labels = [(chosen(t["annotations"][0]["result"]), stage.truth(t)) for t in tasks if t["annotations"]]
    return (right * len(open_tasks) + sum(a == b for a, b in labels)) / len(tasks)


def make_pool(stage: Stage) -> Pool:
    """Return the images as Lineup sees them: by the vectors it learned from."""
    registry = stage.lineup.registry(stage.project)
    version = registry.load(registry.published() or "")
    vectors = VectorStore(
        stage.model_dir / "vectors", version.manifest["fingerprint"], version.arrays["W"].shape[0]
    )
    files = sorted((stage.label_studio.files_dir / "digits").glob("*.png"))
    keys = [content_key(path.read_bytes()) for path in files]
    X, there = vectors.get(keys)
    if not there.all():
        raise RuntimeError(f"{(~there).sum()} of {len(keys)} images have no vector")
    digits = stage.digits
    start = np.full(len(keys), -1)
    for index, label in digits.given.items():
        start[index] = int(label)
    return Pool(X, keys, np.array([int(label) for label in digits.truth]), start, 10)


@dataclass(frozen=True)
class Review:
    """What a reviewer did.

    Attributes
    ----------
    looked_at, corrected : int
    before, after : float
        Share of the labels given at the start that are right, in [0, 1].
    """

    looked_at: int
    corrected: int
    before: float
    after: float

    @property
    def improved(self) -> bool:
        """Whether more labels are right."""
        return self.after > self.before


def review(stage: Stage) -> Review:
    """Work through *Review suspects* from the top until it is empty or nothing new comes."""
    reviewer = Reviewer(stage.label_studio, stage.project, stage.truth, stage.person("rex@example.com"))
    before, seen, corrected = given_share(stage), set[int](), 0
    for _ in range(3):
        suspects = [task for task in reviewer.tasks("Review suspects") if task["id"] not in seen]
        if not suspects:
            break
        with bar(stage.console, "review suspects, from the top", len(suspects)) as update:
            for done, task in enumerate(suspects, 1):
                corrected += reviewer.review(task)
                seen.add(task["id"])
                update(completed=done)
        stage.catch_up("Lineup learns from the review", since=time.time())
    return Review(len(seen), corrected, before, given_share(stage))


def given_share(stage: Stage) -> float:
    """Return the share of the labels given at the start that are right now."""
    tasks = [task for task in stage.tasks() if stage.index(task) in stage.digits.given]
    return share_right(
        [chosen(t["annotations"][0]["result"]) for t in tasks], [stage.truth(t) for t in tasks]
    )


def play(stage: Stage) -> bool:
    """Annotate, review, export; show what it brought and return whether both improved."""
    campaign = annotate(stage)
    show_curve(stage, campaign)
    reviewed = review(stage)
    stage.console.print(
        f"\n[bold]Label quality[/]: {reviewed.before:.1%} right before, {reviewed.after:.1%} after "
        f"{reviewed.looked_at} reviews, {reviewed.corrected} of them corrections"
    )
    out = stage.folder / f"labels-{stage.project}.jsonl"
    done = export_project(stage.lineup.settings, stage.project, "jsonl", out, force=True)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(done.statuses.items()))
    stage.console.print(f"[bold]Export[/]: {done.rows} labels in {out} ({counts})", soft_wrap=True)
    expected = len(stage.digits.given) + campaign.counts[-1]
    if done.rows != expected:
        stage.console.print(f"[red]The export should have {expected} labels.[/]")
        return False
    for name, improved in (("learning curve", campaign.improved), ("label quality", reviewed.improved)):
        if not improved:
            stage.console.print(f"[red]The {name} did not improve.[/]")
    return campaign.improved and reviewed.improved


def show_curve(stage: Stage, campaign: Campaign) -> None:
    """Print the learning curve."""
    images = len(stage.digits.truth) - len(stage.digits.given)
    table = Table(title=f"Right on the {images} images without a label at the start: label, else prediction")
    for name in ("labels given", "Lineup's order", "random order", f"random, {CONTROLS} seeds"):
        table.add_column(name, justify="right")
    for column, count in enumerate(campaign.counts):
        control = campaign.control[:, column]
        table.add_row(
            str(count),
            f"{campaign.lineup[column]:.1%}",
            f"{control.mean():.1%}",
            f"{control.min():.1%} to {control.max():.1%}",
        )
    stage.console.print(table)
