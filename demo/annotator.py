"""People, played through Label Studio's own API: an annotator at *Label All Tasks*, a reviewer at *Review suspects*."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demo.label_studio import Account, LabelStudioFailed, LabelStudioServer

Result = list[dict[str, Any]]
# from a task to its right label; from a label to a result; from a result to a label
Truth = Callable[[dict[str, Any]], Any]
Write = Callable[[Any], Result]
Read = Callable[[Result], Any]
# from a label and the right one to how right it is, in [0, 1]
Agree = Callable[[Any, Any], float]
PAGE = 100


def choice(label: str, from_name: str = "digit", to_name: str = "image") -> list[dict[str, Any]]:
    """Return an annotation result that chooses one class."""
    return [{"from_name": from_name, "to_name": to_name, "type": "choices", "value": {"choices": [label]}}]


def chosen(result: list[dict[str, Any]]) -> str:
    """Return the class an annotation or prediction result chooses; empty where it chooses none."""
    return next((item["value"]["choices"][0] for item in result if item["type"] == "choices"), "")


@dataclass
class Annotator:
    """Takes the next task that Label Studio serves and answers it.

    Parameters
    ----------
    server : LabelStudioServer
    project_id : int
    truth : callable
        From a task to the right label.
    account : Account, optional
        Who; the server's first user otherwise.
    write, read : callable
        From a label to an annotation's result and back; default: one class.
    agree : callable
        From the label of a pre-annotation and the right one to how right it is, in [0, 1].
    """

    server: LabelStudioServer
    project_id: int
    truth: Truth
    account: Account | None = None
    write: Write = choice
    read: Read = chosen
    agree: Agree = lambda label, truth: float(label == truth)
    agreed: list[float] = field(default_factory=list)

    def next_task(self) -> dict[str, Any] | None:
        """Press *Label All Tasks*: return the task served, None when nothing is left."""
        params = {"id": "next_task", "project": self.project_id}
        try:
            task: dict[str, Any] = self._call("POST", "/api/dm/actions", {}, params)
        except LabelStudioFailed as error:
            if error.status == 404:
                return None
            raise
        return task

    def submit(self, task: dict[str, Any], label: Any) -> int:
        """Submit a label and return the annotation's id."""
        body = {"result": self.write(label), "lead_time": 1.0}
        return int(self._call("POST", f"/api/tasks/{task['id']}/annotations/", body)["id"])

    def annotate(self, count: int) -> Iterator[dict[str, Any]]:
        """Answer up to ``count`` tasks truthfully, one after the other as they are served; yield each."""
        for _ in range(count):
            task = self.next_task()
            if task is None:
                return
            label = self.truth(task)
            shown = [self.read(prediction["result"]) for prediction in task["predictions"]]
            self.agreed.append(self.agree(shown[0], label) if shown else 0.0)
            self.submit(task, label)
            yield task

    def _call(self, method: str, path: str, json: Any = None, params: Any = None) -> Any:
        token = self.account.token if self.account else None
        return self.server.api(method, path, json, params, token=token)


@dataclass
class Reviewer:
    """Works through a tab from the top and presses *Update* on each task, with the right label."""

    server: LabelStudioServer
    project_id: int
    truth: Truth
    account: Account | None = None
    write: Write = choice
    read: Read = chosen

    def tab(self, title: str) -> int:
        """Return the id of the tab with this title.

        Raises
        ------
        LabelStudioFailed
            If there is none.
        """
        views = self.server.api("GET", "/api/dm/views", params={"project": self.project_id})
        found = [view["id"] for view in views if view["data"].get("title") == title]
        if not found:
            raise LabelStudioFailed(f"project {self.project_id} has no tab {title!r}")
        return int(found[0])

    def tasks(self, title: str) -> list[dict[str, Any]]:
        """Return the tasks of a tab in the order a person sees them."""
        view, tasks = self.tab(title), list[dict[str, Any]]()
        while True:
            params = {"view": view, "fields": "all", "page": len(tasks) // PAGE + 1, "page_size": PAGE}
            answer = self.server.api("GET", "/api/tasks", params=params)
            tasks += answer["tasks"]
            if len(answer["tasks"]) < PAGE or len(tasks) >= answer["total"]:
                return tasks

    def review(self, task: dict[str, Any]) -> bool:
        """Look at one task and store the right label; return whether it had a wrong one."""
        label = self.truth(task)
        annotation = next(a for a in task["annotations"] if not a["was_cancelled"])
        token = self.account.token if self.account else None
        body = {"result": self.write(label)}
        self.server.api("PATCH", f"/api/annotations/{annotation['id']}/", body, token=token)
        return not np.array_equal(self.read(annotation["result"]), label)
