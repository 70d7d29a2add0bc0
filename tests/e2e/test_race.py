"""Scores and annotations that arrive at the same moment: nothing of a person's is ever lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.fields import write_fields
from demo.annotator import Annotator, choice
from demo.label_studio import LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.project import DigitsProject, make_project

TASKS = 120
THREADS = 12


def annotate_at_once(project: DigitsProject) -> None:
    """Label every task, by twelve threads."""
    annotators = [Annotator(project.server, project.id, project.truth) for _ in range(THREADS)]
    tasks = project.tasks()

    def work(number: int) -> None:
        for task in tasks[number::THREADS]:
            annotators[number].submit(task, project.truth(task))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


def assert_nothing_lost(project: DigitsProject) -> None:
    tasks = sorted(project.tasks(), key=lambda task: task["id"])
    assert [task["id"] for task in tasks if not task["is_labeled"]] == []
    assert [task["id"] for task in tasks if task["total_annotations"] != 1] == []
    assert [task["id"] for task in tasks if len(task["annotations"]) != 1] == []
    wrong = [
        t["id"]
        for t in tasks
        if t["annotations"][0]["result"][0]["value"] != choice(project.truth(t))[0]["value"]
    ]
    assert wrong == []
    assert [task["data"]["origin"] for task in tasks] == [f"scan {index}" for index in range(TASKS)]
    assert all(task["data"]["image"].startswith("/data/local-files/") for task in tasks)


@pytest.mark.parametrize("run", [1, 2, 3])
def test_fields_written_while_twelve_people_submit(label_studio: LabelStudioServer, run: int) -> None:
    project = make_project(label_studio, f"race {run}", size=TASKS, labelled=0)
    done = threading.Event()
    passes = []

    def score() -> None:
        with LabelStudioClient(label_studio.url, label_studio.token) as client:
            while not done.is_set() or not passes:
                # many small groups, so that the writes last as long as the submits
                step = len(passes)
                values = {task_id: round(((i + step) % 60) / 100, 2) for i, task_id in enumerate(project.ids)}
                passes.append(write_fields(client, project.id, "lineup_priority", values))

    scorer = threading.Thread(target=score)
    scorer.start()
    try:
        annotate_at_once(project)
    finally:
        done.set()
        scorer.join(timeout=120)
    assert not scorer.is_alive()
    assert_nothing_lost(project)
    assert passes[-1] == set(project.ids)
    last = len(passes) - 1
    scores = [
        project_task["data"]["lineup_priority"]
        for project_task in sorted(project.tasks(), key=lambda t: t["id"])
    ]
    assert scores == [round(((i + last) % 60) / 100, 2) for i in range(TASKS)]


def test_whole_refreshes_while_twelve_people_submit(
    label_studio: LabelStudioServer, lineup: LineupServer
) -> None:
    project = make_project(label_studio, "race with refreshes", size=TASKS, labelled=0)
    since = time.time()
    lineup.connect(project.id)
    lineup.wait(project.id, since=since)
    annotate_at_once(project)
    lineup.wait(project.id, labels=TASKS)
    assert_nothing_lost(project)
    assert all("lineup_suspicion" in task["data"] for task in project.tasks())
