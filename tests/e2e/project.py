"""Small projects of real digits for the end-to-end tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from demo.annotator import choice
from demo.digits import LABEL_CONFIG, make_digits, render
from demo.label_studio import LabelStudioServer


@dataclass
class DigitsProject:
    """A project with a few digits, some of them labelled, some of those wrongly.

    Attributes
    ----------
    id : int
    ids : list of int
        Task ids, in the order of the images.
    labelled, planted : set of int
        Task ids with a label at the start, and with a wrong one.
    """

    server: LabelStudioServer
    id: int
    ids: list[int]
    truths: list[str]
    labelled: set[int] = field(default_factory=set)
    planted: set[int] = field(default_factory=set)

    def truth(self, task: dict[str, Any]) -> str:
        """The right label of a task."""
        return self.truths[self.ids.index(task["id"])]

    def task(self, task_id: int) -> dict[str, Any]:
        """A task as Label Studio has it now, with raw data."""
        task: dict[str, Any] = self.server.api(
            "GET", f"/api/tasks/{task_id}", params={"resolve_uri": "false"}
        )
        return task

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, with annotations and predictions."""
        params = {"project": self.id, "fields": "all", "resolve_uri": "false", "page_size": 1000}
        tasks: list[dict[str, Any]] = self.server.api("GET", "/api/tasks", params=params)["tasks"]
        return tasks

    def served_version(self) -> str:
        """The version whose predictions order *Label All Tasks*."""
        return str(self.server.api("GET", f"/api/projects/{self.id}")["model_version"])


def make_project(
    server: LabelStudioServer, title: str, *, size: int = 160, labelled: int = 80, wrong: float = 0.1
) -> DigitsProject:
    """Make a project of the first ``size`` digits; the first ``labelled`` of them come with a label."""
    digits = make_digits(labelled=0)
    folder = server.files_dir / "digits"
    paths = render(folder)[:size]
    number = server.create_project(title, LABEL_CONFIG)
    server.serve_folder(number, folder)
    n_wrong = round(labelled * wrong)
    tasks: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        task: dict[str, Any] = {"data": {"image": server.file_uri(path), "origin": f"scan {index}"}}
        if index < labelled:
            right = digits.truth[index]
            given = str((int(right) + 5) % 10) if index < n_wrong else right
            task["annotations"] = [{"result": choice(given), "completed_by": server.admin.id}]
        tasks.append(task)
    ids = server.import_tasks(number, tasks)
    return DigitsProject(
        server, number, ids, list(digits.truth[:size]), set(ids[:labelled]), set(ids[:n_wrong])
    )


def add_digits(project: DigitsProject, count: int, *, labelled: int = 0) -> None:
    """Import the next digits, the first ``labelled`` of them with their right label."""
    server, start = project.server, len(project.ids)
    paths = render(server.files_dir / "digits")[start : start + count]
    truths = make_digits(labelled=0).truth[start : start + count]
    tasks: list[dict[str, Any]] = [
        {"data": {"image": server.file_uri(path), "origin": f"scan {start + number}"}}
        for number, path in enumerate(paths)
    ]
    for task, truth in list(zip(tasks, truths, strict=True))[:labelled]:
        task["annotations"] = [{"result": choice(truth), "completed_by": server.admin.id}]
    project.ids += server.import_tasks(project.id, tasks)
    project.truths += truths
