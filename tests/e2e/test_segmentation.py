"""Masks: the main job end to end, and what a reviewer sees."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface

from backend.export import export_project
from backend.labelstudio.segmentation import is_suspect
from demo.annotator import Annotator, Reviewer
from demo.figures import found
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from demo.strokes import CLASSES, LABEL_CONFIG, Strokes
from ml.mask_sets import read_masks
from ml.masks.regions import paint

IMAGES, LABELLED, ROUND = 130, 90, 6
SHAPE = (96, 96)


@dataclass
class StrokesProject:
    """A project of strokes; task ``ids[i]`` shows image i."""

    server: LabelStudioServer
    strokes: Strokes
    id: int
    ids: list[int]

    def index(self, task: dict[str, Any]) -> int:
        return self.ids.index(task["id"])

    def truth(self, task: dict[str, Any]) -> np.ndarray:
        return self.strokes.truth(self.index(task))

    @property
    def planted(self) -> set[int]:
        """Tasks with a damaged mask."""
        return {self.ids[index] for index in self.strokes.planted}

    def tasks(self) -> list[dict[str, Any]]:
        params = {"project": self.id, "fields": "all", "resolve_uri": "false", "page_size": 1000}
        tasks: list[dict[str, Any]] = self.server.api("GET", "/api/tasks", params=params)["tasks"]
        return tasks

    def served_version(self) -> str:
        return str(self.server.api("GET", f"/api/projects/{self.id}")["model_version"])

    def reviewer(self) -> Reviewer:
        strokes = self.strokes
        return Reviewer(self.server, self.id, self.truth, write=strokes.write, read=strokes.read)


@pytest.fixture(scope="module")
def project(label_studio: LabelStudioServer) -> StrokesProject:
    strokes = Strokes(images=IMAGES, labelled=LABELLED)
    folder = label_studio.files_dir / strokes.name
    paths = strokes.render(folder)
    number = label_studio.create_project("strokes", LABEL_CONFIG, show_collab_predictions=True)
    label_studio.serve_folder(number, folder)
    tasks: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        task: dict[str, Any] = {"data": {"image": label_studio.file_uri(path), "origin": f"scan {index}"}}
        if index in strokes.given:
            result = strokes.write(strokes.given[index])
            task["annotations"] = [{"result": result, "completed_by": label_studio.admin.id}]
        tasks.append(task)
    return StrokesProject(label_studio, strokes, number, label_studio.import_tasks(number, tasks))


def test_the_loop_with_masks(
    label_studio: LabelStudioServer, lineup: LineupServer, project: StrokesProject, tmp_path: Path
) -> None:
    since = time.time()
    lineup.connect(project.id)
    first = lineup.wait(project.id, since=since)
    assert (first.tasks, first.labels) == (IMAGES, LABELLED)
    assert first.version.startswith("segmentation-1-")
    assert first.version == project.served_version()
    _every_task_has_a_mask_that_fits_the_config(project, first.version)
    _suspects_are_the_damaged_masks_and_say_where(project)
    second = _annotators_are_served_by_priority(project, lineup)
    assert second != first.version
    _the_published_version_predicts(project, lineup, second)
    corrected = _reviewed_suspects_leave_the_tab(project, lineup)
    _the_export_has_the_masks(project, lineup, tmp_path, corrected)
    assert [task["data"]["origin"] for task in sorted(project.tasks(), key=lambda t: t["id"])] == [
        f"scan {index}" for index in range(IMAGES)
    ]


def mean_dice(project: StrokesProject, results: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> float:
    strokes = project.strokes
    return float(
        np.mean([strokes.agreement(strokes.read(result), project.truth(task)) for task, result in results])
    )


def _every_task_has_a_mask_that_fits_the_config(project: StrokesProject, version: str) -> None:
    # masks beyond the head of the queue are drawn when nobody is at work
    deadline = time.monotonic() + 120
    while not all(task["predictions"] for task in project.tasks()):
        assert time.monotonic() < deadline, "masks are missing"
        time.sleep(1)
    found = []
    for task in project.tasks():
        [prediction] = task["predictions"]
        assert prediction["model_version"] == version
        mask = [region for region in prediction["result"] if not is_suspect(region)]
        body = {"task": task["id"], "result": mask, "score": prediction["score"], "model_version": version}
        assert LabelInterface(LABEL_CONFIG).validate_prediction(body, return_errors=True) == []
        assert 0 <= task["data"]["lineup_confidence"] <= 1
        found.append((task, prediction["result"]))
    assert mean_dice(project, [(task, result) for task, result in found if not task["annotations"]]) > 0.6


def _suspects_are_the_damaged_masks_and_say_where(project: StrokesProject) -> None:
    suspects = project.reviewer().tasks("Review suspects")
    order = [task["id"] for task in suspects]
    assert all(task["annotations"] for task in suspects)
    scores = [task["data"]["lineup_suspicion"] for task in suspects]
    assert scores == sorted(scores, reverse=True)
    ranked = sorted(
        (task for task in project.tasks() if task["annotations"]),
        key=lambda task: -task["data"]["lineup_suspicion"],
    )
    top = [task["id"] for task in ranked[: len(project.planted)]]
    by_chance = len(project.planted) / LABELLED
    assert found(top, project.planted).precision >= max(0.5, 3 * by_chance)
    assert set(order) & project.planted
    reasons = {task["data"]["lineup_reason"].split(":")[0] for task in suspects}
    assert reasons & {"object missing", "object extra", "wrong class", "loose boundary"}
    hits = 0
    for task in suspects:
        if task["id"] in project.planted:
            [prediction] = [p for p in task["predictions"] if p["model_version"] == project.served_version()]
            index = project.index(task)
            damage = project.strokes.given[index] != project.strokes.truth(index)
            hits += bool((_pointed_at(prediction["result"]) & damage).any())
    assert hits >= 0.5 * len(set(order) & project.planted), "what is shown as suspect overlaps the damage"


def _pointed_at(result: list[dict[str, Any]]) -> np.ndarray:
    one = [{**r, "value": {**r["value"], "brushlabels": ["1"]}} for r in result if is_suspect(r)]
    return paint(one, CLASSES, SHAPE) > 0


def _annotators_are_served_by_priority(project: StrokesProject, lineup: LineupServer) -> str:
    queue = project.reviewer().tasks("Label next")
    assert len(queue) == IMAGES - LABELLED
    expected = [task["id"] for task in queue[:2]]
    annotator = Annotator(
        project.server,
        project.id,
        project.truth,
        project.server.user("mel@example.com"),
        write=project.strokes.write,
        read=project.strokes.read,
        agree=project.strokes.agreement,
    )
    served = [task["id"] for task in annotator.annotate(ROUND)]
    assert served[:2] == expected
    assert len(set(served)) == ROUND
    last = lineup.wait(project.id, labels=LABELLED + ROUND)
    assert project.served_version() == last.version
    return last.version


def _the_published_version_predicts(project: StrokesProject, lineup: LineupServer, version: str) -> None:
    tasks = [{"id": t["id"], "data": t["data"]} for t in project.tasks() if not t["annotations"]]
    results = lineup.predict(project.id, tasks, LABEL_CONFIG)
    assert {result["model_version"] for result in results} == {version}
    for result in results:
        assert 0 <= result["score"] <= 1
        assert (
            LabelInterface(LABEL_CONFIG).validate_prediction({"task": 1, **result}, return_errors=True) == []
        )
    assert mean_dice(project, [(t, r["result"]) for t, r in zip(tasks, results, strict=True)]) > 0.6


def _reviewed_suspects_leave_the_tab(project: StrokesProject, lineup: LineupServer) -> set[int]:
    reviewer = project.reviewer()
    suspects = reviewer.tasks("Review suspects")
    corrected = {task["id"] for task in suspects if reviewer.review(task)}
    assert corrected <= project.planted
    assert corrected
    lineup.wait(project.id, since=time.time())
    left = {task["id"] for task in reviewer.tasks("Review suspects")}
    assert not left & {task["id"] for task in suspects}
    return corrected


def _the_export_has_the_masks(
    project: StrokesProject, lineup: LineupServer, folder: Path, corrected: set[int]
) -> None:
    done = export_project(lineup.settings, project.id, "masks", folder / "masks")
    assert done.rows == LABELLED + ROUND
    found = read_masks(folder / "masks")
    right = {f"{index:04d}": project.strokes.truth(index) for index in range(IMAGES)}
    wrong = [
        index
        for index in range(IMAGES)
        if index in project.strokes.planted and project.ids[index] not in corrected
    ]
    for scene in found:
        name = Path(scene.image).stem[-4:]
        if int(name) not in wrong:
            assert np.array_equal(found.mask(scene), right[name])
    with (folder / "masks" / "masks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["task"]) for row in rows if row["status"] == "corrected"} == corrected
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert 0.5 < np.mean(dice) <= 1
