"""Several classes an image, or none: the main job end to end."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface

from backend.export import export_project
from demo.annotator import Annotator, Reviewer
from demo.digits import make_digits, render
from demo.figures import found
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from ml.datasets.class_sets import split_classes
from tests.e2e.project import DigitsProject

SIZE, LABELLED, WRONG, ROUND = 220, 150, 15, 8
# what holds of which digits; of 1 and 3 nothing does
CLASSES = {"even": "02468", "above four": "56789", "with a loop": "0689", "seven, or straight": "47"}
CONFIG = (
    '<View><Image name="image" value="$image"/><Choices name="traits" toName="image" choice="multiple">'
    + "".join(f'<Choice value="{name}"/>' for name in CLASSES)
    + "</Choices></View>"
)


def traits(digit: str) -> frozenset[str]:
    return frozenset(name for name, digits in CLASSES.items() if digit in digits)


def write(names: frozenset[str]) -> list[dict[str, Any]]:
    """An annotation as Label Studio stores it: nothing where nothing is chosen."""
    value = {"choices": [name for name in CLASSES if name in names]}
    region = {"from_name": "traits", "to_name": "image", "type": "choices", "value": value}
    return [region] if names else []


def read(result: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(name for region in result for name in region["value"]["choices"])


@pytest.fixture(scope="module")
def project(label_studio: LabelStudioServer) -> DigitsProject:
    """Digits with their traits; of 150 labelled ones 15 have a trait too many or too few."""
    rng = np.random.default_rng(0)
    truths = [traits(digit) for digit in make_digits(labelled=0).truth[:SIZE]]
    folder = label_studio.files_dir / "digits"
    paths = render(folder)[:SIZE]
    number = label_studio.create_project("traits", CONFIG)
    label_studio.serve_folder(number, folder)
    tasks: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        task: dict[str, Any] = {"data": {"image": label_studio.file_uri(path), "origin": f"scan {index}"}}
        if index < LABELLED:
            given = truths[index] ^ ({str(rng.choice(list(CLASSES)))} if index < WRONG else set())
            task["annotations"] = [{"result": write(given), "completed_by": label_studio.admin.id}]
        tasks.append(task)
    ids = label_studio.import_tasks(number, tasks)
    return DigitsProject(label_studio, number, ids, truths, set(ids[:LABELLED]), set(ids[:WRONG]))  # type: ignore[arg-type]


def test_the_loop_with_class_sets(
    label_studio: LabelStudioServer, lineup: LineupServer, project: DigitsProject, tmp_path: Path
) -> None:
    since = time.time()
    lineup.connect(project.id)
    first = lineup.wait(project.id, since=since)
    assert (first.tasks, first.labels) == (SIZE, LABELLED), "the empty set is a label"
    assert first.version.startswith("multilabel-1-")
    assert first.version == project.served_version()
    reviewer = Reviewer(label_studio, project.id, project.truth, write=write, read=read)
    _every_task_has_a_prediction_that_fits_the_config(project, first.version)
    _suspects_are_the_planted_errors(project, reviewer)
    second = _annotators_are_served_by_priority(project, lineup, reviewer)
    assert second != first.version
    _the_published_version_predicts(project, lineup, second)
    corrected = _reviewed_suspects_leave_the_tab(project, lineup, reviewer)
    _the_export_has_the_sets(project, lineup, tmp_path, corrected)
    assert [task["data"]["origin"] for task in sorted(project.tasks(), key=lambda t: t["id"])] == [
        f"scan {index}" for index in range(SIZE)
    ]


def _every_task_has_a_prediction_that_fits_the_config(project: DigitsProject, version: str) -> None:
    right = []
    shown = []
    for task in project.tasks():
        [prediction] = task["predictions"]
        assert prediction["model_version"] == version
        body = {name: prediction[name] for name in ("task", "result", "score", "model_version")}
        assert LabelInterface(CONFIG).validate_prediction(body, return_errors=True) == []
        shown.append(read(prediction["result"]))
        assert split_classes(task["data"]["lineup_suggestion"]) == [c for c in CLASSES if c in shown[-1]]
        assert 0.5 <= task["data"]["lineup_confidence"] <= 1
        right.append(shown[-1] == project.truth(task))
    assert {len(names) for names in shown} >= {0, 1, 2, 3}, "several choices, one, and none"
    assert np.mean(right) > 0.7


def _suspects_are_the_planted_errors(project: DigitsProject, reviewer: Reviewer) -> None:
    order = [task["id"] for task in reviewer.tasks("Review suspects")]
    assert set(order) <= project.labelled
    assert found(order, project.planted).precision >= 0.75
    assert found(order, project.planted).recall >= 0.6
    assert found(order, project.planted, 10).precision >= 0.8
    scores = [project.task(task_id)["data"]["lineup_suspicion"] for task_id in order]
    assert scores == sorted(scores, reverse=True)


def _annotators_are_served_by_priority(
    project: DigitsProject, lineup: LineupServer, reviewer: Reviewer
) -> str:
    queue = reviewer.tasks("Label next")
    assert len(queue) == SIZE - LABELLED
    expected = [task["id"] for task in queue[:2]]
    annotator = Annotator(
        project.server,
        project.id,
        project.truth,
        project.server.user("mel@example.com"),
        write=write,
        read=read,
    )
    served = [task["id"] for task in annotator.annotate(ROUND)]
    assert served[:2] == expected
    assert len(set(served)) == ROUND
    last = lineup.wait(project.id, labels=LABELLED + ROUND)
    assert project.served_version() == last.version
    return last.version


def _the_published_version_predicts(project: DigitsProject, lineup: LineupServer, version: str) -> None:
    tasks = [{"id": task["id"], "data": task["data"]} for task in project.tasks()]
    results = lineup.predict(project.id, tasks, CONFIG)
    assert {result["model_version"] for result in results} == {version}
    for result in results:
        assert 0 <= result["score"] <= 1
        body = {"task": 1, **result}
        assert LabelInterface(CONFIG).validate_prediction(body, return_errors=True) == []
    right = [
        read(result["result"]) == project.truth(task) for result, task in zip(results, tasks, strict=True)
    ]
    assert np.mean(right) > 0.7


def _reviewed_suspects_leave_the_tab(
    project: DigitsProject, lineup: LineupServer, reviewer: Reviewer
) -> set[int]:
    suspects = reviewer.tasks("Review suspects")
    corrected = {task["id"] for task in suspects if reviewer.review(task)}
    assert corrected
    lineup.wait(project.id, since=time.time())
    left = {task["id"] for task in reviewer.tasks("Review suspects")}
    assert not left & {task["id"] for task in suspects}
    return corrected


def _the_export_has_the_sets(
    project: DigitsProject, lineup: LineupServer, folder: Path, corrected: set[int]
) -> None:
    done = export_project(lineup.settings, project.id, "jsonl", folder / "sets.jsonl")
    rows = [json.loads(line) for line in (folder / "sets.jsonl").read_text(encoding="utf-8").splitlines()]
    assert done.rows == len(rows) == LABELLED + ROUND
    by_task = {row["task"]: row for row in rows}
    assert {task for task, row in by_task.items() if row["status"] == "corrected"} == corrected
    for task_id in corrected:
        row = by_task[task_id]
        assert set(row["label"]) == project.truth({"id": task_id}) != set(row["given"])
    assert [] in [row["label"] for row in rows]
    export_project(lineup.settings, project.id, "csv", folder / "sets.csv")
    with (folder / "sets.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [split_classes(line["label"]) for line in lines] == [row["label"] for row in rows]
    with pytest.raises(ValueError, match="take jsonl, json or csv"):
        export_project(lineup.settings, project.id, "folders", folder / "sets")
    assert not (folder / "sets").exists()
