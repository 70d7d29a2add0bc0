"""What a project has come to, named by its images, so that two projects of the same images can be compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.columns import CONFIDENCE, CONFIDENCE_STEP, FIELDS, SUSPICION
from backend.ordering import SUSPICION_STEP
from demo.annotator import chosen
from demo.digits import LABEL_CONFIG
from demo.lineup import LineupServer
from tests.e2e.project import DigitsProject

PREFIX = "lineup_"
NEAR = 1e-3
GRID = {SUSPICION: SUSPICION_STEP, CONFIDENCE: CONFIDENCE_STEP}


@dataclass(frozen=True)
class State:
    """One project as Label Studio, the registry and `/predict` show it; a task is named by its ``origin``.

    Attributes
    ----------
    digest : str
        Of what the published version was learned from.
    arrays : dict of str to ndarray
        The published head.
    predicted : dict of str to (str, float)
        Class and score `/predict` gives.
    stored : dict of str to (str, float)
        Class and score of the stored prediction of the published version.
    fields : dict of str to dict
        Lineup's fields.
    """

    digest: str
    arrays: dict[str, np.ndarray]
    predicted: dict[str, tuple[str, float]]
    stored: dict[str, tuple[str, float]]
    fields: dict[str, dict[str, Any]]


def read_state(project: DigitsProject, lineup: LineupServer) -> State:
    """Return what a project has come to."""
    tasks = sorted(project.tasks(), key=lambda task: int(task["id"]))
    registry = lineup.registry(project.id)
    published = registry.published()
    assert published is not None, "nothing is published"
    version = registry.load(published)
    asked = [{"id": task["id"], "data": own(task)} for task in tasks]
    answers = lineup.predict(project.id, asked, LABEL_CONFIG)
    names = [task["data"]["origin"] for task in tasks]
    return State(
        digest=version.manifest["digest"],
        arrays=version.arrays,
        predicted={
            name: (chosen(answer["result"]), answer["score"])
            for name, answer in zip(names, answers, strict=True)
        },
        stored={
            name: (chosen(prediction["result"]), prediction["score"])
            for name, task in zip(names, tasks, strict=True)
            for prediction in task["predictions"]
            if prediction["model_version"] == published
        },
        fields={
            name: {field: task["data"].get(PREFIX + field) for field in FIELDS}
            for name, task in zip(names, tasks, strict=True)
        },
    )


def own(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task's data without what Lineup wrote."""
    return {name: value for name, value in task["data"].items() if not name.startswith(PREFIX)}


def different(one: State, other: State) -> list[str]:
    """Return what is not the same in two states.

    Heads are fitted from the one before, in steps that end at a tolerance: numbers may differ by that much, and what is
    written of them by one step of the grid they are written on.
    """
    found = []
    if one.digest != other.digest:
        found.append(f"learned from {one.digest[:8]} and {other.digest[:8]}")
    # where the next fit begins is no part of what is served
    mine, theirs = (
        {name: array for name, array in state.arrays.items() if not name.startswith("warm_")}
        for state in (one, other)
    )
    if mine.keys() != theirs.keys():
        found.append(f"arrays {sorted(mine)} and {sorted(theirs)}")
    found += [
        f"array {name} by {np.abs(mine[name] - theirs[name]).max():.2g}"
        for name in mine.keys() & theirs.keys()
        if mine[name].shape != theirs[name].shape
        or not np.allclose(mine[name], theirs[name], rtol=NEAR, atol=NEAR)
    ]
    for what, a, b in (
        ("prediction", one.predicted, other.predicted),
        ("stored prediction", one.stored, other.stored),
        ("fields", one.fields, other.fields),
    ):
        found += [
            f"{what} of {name}: {a.get(name)} and {b.get(name)}"
            for name in sorted(a.keys() | b.keys())
            if not _near(a.get(name), b.get(name))
        ]
    return found


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[name], b[name], GRID.get(name, NEAR)) for name in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return all(_close(x, y, NEAR) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _close(a: Any, b: Any, within: float) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= within + 1e-9
    return bool(a == b)


def assert_nothing_lost(project: DigitsProject, labels: dict[int, str]) -> None:
    """Every annotation stands, every task counts as it should, own data is there, no version predicts a task twice.

    Parameters
    ----------
    labels : dict of int to str
        Task id to the label that was given.
    """
    tasks = {int(task["id"]): task for task in project.tasks()}
    assert sorted(tasks) == sorted(project.ids)
    for number, (task_id, task) in enumerate(sorted(tasks.items())):
        assert task["data"]["origin"] == f"scan {number}", "data of people is as it was"
        given = [chosen(annotation["result"]) for annotation in task["annotations"]]
        assert given == ([labels[task_id]] if task_id in labels else []), f"task {task_id}"
        assert task["is_labeled"] == (task_id in labels), f"task {task_id}"
        assert task["total_annotations"] == len(given), f"task {task_id}"
        counts = Counter(prediction["model_version"] for prediction in task["predictions"])
        assert set(counts.values()) <= {1}, f"task {task_id} has {dict(counts)}"
