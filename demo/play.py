"""Play the people: an annotator in the order Label Studio serves, a reviewer at *Review suspects*, then the export."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from backend.export import export_project
from demo.stage import Stage, bar
from demo.subject import Result

ROUNDS = 4
CONTROLS = 3
AT_ONCE = 50  # predictions in a request: masks take a moment each


@dataclass(frozen=True)
class Campaign:
    """A learning curve beside those of random order.

    Attributes
    ----------
    counts : list of int
        Labels given since the start.
    lineup : list of float
        How right the images without a label at the start are on average: the annotator's label, else the prediction
        Lineup serves. In [0, 1].
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
    annotator, per_round = stage.annotator("bea@example.com"), stage.subject.per_round
    counts, shares = [0], [pool_share(stage)]
    before = len(stage.subject.given)
    for number in range(1, ROUNDS + 1):
        with bar(stage.console, f"round {number} of {ROUNDS}: next task, answer", per_round) as update:
            for done, _ in enumerate(annotator.annotate(per_round), 1):
                update(completed=done)
        counts.append(len(annotator.agreed))
        stage.catch_up("Lineup learns", labels=before + counts[-1])
        shares.append(pool_share(stage))
    with bar(stage.console, "random order, for comparison", CONTROLS * len(counts)) as update:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            update(completed=done)

        random = stage.subject.random_order(stage.files, stage.learned())
        control = np.array([random(counts, seed, step) for seed in range(CONTROLS)])
    stage.console.print(
        f"Pre-annotations of the {len(annotator.agreed)} tasks served: {stage.subject.measure} "
        f"{np.mean(annotator.agreed):.1%}, although the hardest come first."
    )
    return Campaign(counts, shares, control)


def pool_share(stage: Stage) -> float:
    """Return how right the images without a label at the start are now."""
    subject = stage.subject
    tasks = [task for task in stage.tasks() if stage.index(task) not in subject.given]
    open_tasks = [task for task in tasks if not task["annotations"]]
    results = []
    for start in range(0, len(open_tasks), AT_ONCE):
        some = open_tasks[start : start + AT_ONCE]
        asked = [{"id": task["id"], "data": task["data"]} for task in some]
        predictions = stage.lineup.predict(stage.project, asked, subject.label_config)
        results += [(task, one["result"]) for task, one in zip(some, predictions, strict=True)]
    results += [(t, t["annotations"][0]["result"]) for t in tasks if t["annotations"]]
    return mean_agreement(stage, results)


def mean_agreement(stage: Stage, results: list[tuple[dict[str, Any], Result]]) -> float:
    """Return how right results are on average, in [0, 1]; of no results it is 0."""
    subject = stage.subject
    return float(
        np.mean(
            [subject.agreement(subject.read(result), stage.truth(task)) for task, result in results] or [0]
        )
    )


@dataclass(frozen=True)
class Review:
    """What a reviewer did.

    Attributes
    ----------
    looked_at, corrected : int
    before, after : float
        How right the labels given at the start are on average, in [0, 1].
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
    reviewer = stage.reviewer("rex@example.com")
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
    """Return how right the labels given at the start are now."""
    tasks = [task for task in stage.tasks() if stage.index(task) in stage.subject.given]
    return mean_agreement(stage, [(task, task["annotations"][0]["result"]) for task in tasks])


def play(stage: Stage) -> bool:
    """Annotate, review, export; show what it brought and return whether both improved."""
    subject = stage.subject
    campaign = annotate(stage)
    show_curve(stage, campaign)
    reviewed = review(stage)
    stage.console.print(
        f"\n[bold]Label quality[/]: {subject.measure} {reviewed.before:.1%} before, {reviewed.after:.1%} after "
        f"{reviewed.looked_at} reviews, {reviewed.corrected} of them corrections"
    )
    out = stage.folder / f"labels-{stage.project}{subject.export_suffix}"
    done = export_project(stage.lineup.settings, stage.project, subject.export_format, out, force=True)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(done.statuses.items()))
    stage.console.print(f"[bold]Export[/]: {done.rows} labels in {out} ({counts})", soft_wrap=True)
    expected = len(subject.given) + campaign.counts[-1]
    if done.rows != expected:
        stage.console.print(f"[red]The export should have {expected} labels.[/]")
        return False
    for name, improved in (("learning curve", campaign.improved), ("label quality", reviewed.improved)):
        if not improved:
            stage.console.print(f"[red]The {name} did not improve.[/]")
    return campaign.improved and reviewed.improved


def show_curve(stage: Stage, campaign: Campaign) -> None:
    """Print the learning curve."""
    images = stage.subject.images - len(stage.subject.given)
    table = Table(
        title=f"{stage.subject.measure} of the {images} images without a label at the start: label, else prediction"
    )
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
