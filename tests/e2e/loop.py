"""The whole main job as one scenario, for any Label Studio."""

from __future__ import annotations

import json
import time
from pathlib import Path

from backend.export import export_project
from demo.annotator import Annotator, Reviewer, chosen
from demo.digits import LABEL_CONFIG
from demo.figures import found
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.project import DigitsProject, make_project

ROUND = 8


def run_loop(server: LabelStudioServer, lineup: LineupServer, out: Path) -> None:
    """Connect, pre-annotate, annotate, retrain, order, review, export; assert what each must bring."""
    project = make_project(server, "the loop")
    since = time.time()
    lineup.connect(project.id)
    first = lineup.wait(project.id, since=since)
    assert (first.tasks, first.labels) == (160, 80)
    assert first.version == project.served_version() == lineup.registry(project.id).published()
    reviewer = Reviewer(server, project.id, project.truth)

    _suspects_are_the_planted_errors(project, reviewer)
    _annotators_are_served_by_priority(project, lineup, reviewer)
    second = lineup.wait(project.id, labels=80 + ROUND)
    assert second.version != first.version
    assert project.served_version() == second.version
    _the_published_version_predicts(project, lineup, second.version)
    corrected = _reviewed_suspects_leave_the_tab(project, lineup, reviewer)
    _the_export_has_the_corrections(project, lineup, out, corrected)
    _other_data_is_as_it_was(project)


def _suspects_are_the_planted_errors(project: DigitsProject, reviewer: Reviewer) -> None:
    order = [task["id"] for task in reviewer.tasks("Review suspects")]
    assert set(order) <= project.labelled
    assert found(order, project.planted, len(project.planted)).precision >= 0.5
    assert found(order, project.planted).recall >= 0.75
    scores = [project.task(task_id)["data"]["lineup_suspicion"] for task_id in order]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] >= 0.5


def _annotators_are_served_by_priority(
    project: DigitsProject, lineup: LineupServer, reviewer: Reviewer
) -> None:
    queue = reviewer.tasks("Label next")
    assert len(queue) == 80
    priorities = [task["data"]["lineup_priority"] for task in queue]
    assert priorities == sorted(priorities, reverse=True)
    expected = [task["id"] for task in queue[:ROUND]]
    annotator = Annotator(project.server, project.id, project.truth, project.server.user("bea@example.com"))
    served = []
    for task in annotator.annotate(ROUND):
        # a refresh in the middle of the round switches the version, and writes the field after the switch
        assert len(task["predictions"]) == 1, "every task comes with exactly one pre-annotation"
        if not served:
            assert chosen(task["predictions"][0]["result"]) == task["data"]["lineup_suggestion"]
        served.append(task["id"])
    # a refresh in the middle of the round may reorder what is left, never what came first
    assert served[:2] == expected[:2]
    assert len(set(served)) == ROUND


def _the_published_version_predicts(project: DigitsProject, lineup: LineupServer, version: str) -> None:
    tasks = [{"id": task["id"], "data": task["data"]} for task in project.tasks()]
    results = lineup.predict(project.id, tasks, LABEL_CONFIG)
    assert len(results) == 160
    assert {result["model_version"] for result in results} == {version}
    right = sum(chosen(r["result"]) == project.truth(t) for r, t in zip(results, tasks, strict=True))
    assert right / 160 > 0.6


def _reviewed_suspects_leave_the_tab(
    project: DigitsProject, lineup: LineupServer, reviewer: Reviewer
) -> set[int]:
    suspects = reviewer.tasks("Review suspects")
    corrected = {task["id"] for task in suspects if reviewer.review(task)}
    assert corrected
    lineup.wait(project.id, since=time.time())
    left = {task["id"] for task in reviewer.tasks("Review suspects")}
    assert not left & {task["id"] for task in suspects}, "what a person has looked at is suspect no more"
    return corrected


def _the_export_has_the_corrections(
    project: DigitsProject, lineup: LineupServer, out: Path, corrected: set[int]
) -> None:
    done = export_project(lineup.settings, project.id, "jsonl", out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert done.rows == len(rows) == 80 + ROUND
    by_task = {row["task"]: row for row in rows}
    assert {task for task, row in by_task.items() if row["status"] == "corrected"} == corrected
    for task_id in corrected:
        assert by_task[task_id]["label"] == project.truth({"id": task_id}) != by_task[task_id]["given"]


def _other_data_is_as_it_was(project: DigitsProject) -> None:
    tasks = project.tasks()
    assert [task["data"]["origin"] for task in sorted(tasks, key=lambda t: t["id"])] == [
        f"scan {index}" for index in range(160)
    ]
    assert sum(task["is_labeled"] for task in tasks) == 80 + ROUND
