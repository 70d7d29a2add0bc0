"""A small project that people go on working on while things break."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.annotator import Annotator
from demo.digits import LABEL_CONFIG
from demo.label_studio import LabelStudioFailed, LabelStudioServer
from demo.lineup import LineupServer
from tests.e2e.conftest import QUICK
from tests.e2e.project import DigitsProject, add_digits, make_project
from tests.faults.state import State, assert_nothing_lost, different, read_state

# as quick as a person who waits for nothing: the work after people have paused begins at once
HASTY: dict[str, Any] = {
    **QUICK,
    "debounce_quiet": 0.1,
    "debounce_max": 1.0,
    "idle_after": 1.0,
    "poll_interval": 10.0,
    "head_size": 15,
}
PATIENCE = 120.0
TRIES = 5


@dataclass
class Scene:
    """A project of digits, and the labels it has been given.

    Attributes
    ----------
    labels : dict of int to str
        Task id to label.
    """

    server: LabelStudioServer
    project: DigitsProject
    rng: random.Random
    labels: dict[int, str] = field(default_factory=dict)

    @classmethod
    def make(
        cls, server: LabelStudioServer, title: str, seed: int, *, size: int = 60, labelled: int = 25
    ) -> Scene:
        """Make a project of which some tasks come labelled, all of them rightly."""
        project = make_project(server, title, size=size, labelled=labelled, wrong=0)
        labels = {task: project.truth({"id": task}) for task in project.labelled}
        return cls(server, project, random.Random(seed), labels)

    def grow(self) -> None:
        """Import an image with its label and one without, and label one of those that are there."""
        self._add(2, labelled=1)
        self.label()

    def jump(self) -> None:
        """Import so many labels at once that nothing of the way to them is kept.

        A penalty stands until the labels have grown by a quarter: on another way it may be another one.
        """
        count = len(self.labels) // 2
        self._add(count, labelled=count)

    def _add(self, count: int, labelled: int) -> None:
        start = len(self.project.ids)
        add_digits(self.project, count, labelled=labelled)
        new = self.project.ids[start : start + labelled]
        self.labels |= {task: self.project.truth({"id": task}) for task in new}

    def label(self) -> None:
        """Submit a label of a task that has none."""
        task = self.rng.choice([task for task in self.project.ids if task not in self.labels])
        self.labels[task] = self.project.truth({"id": task})
        annotator = Annotator(self.server, self.project.id, self.project.truth)
        for _ in range(TRIES):
            try:
                annotator.submit({"id": task}, self.labels[task])
                return
            except (
                LabelStudioFailed
            ):  # busy: a person looks whether it was stored, and presses the button again
                time.sleep(1)
                if self.project.task(task)["annotations"]:
                    return
        raise AssertionError(f"task {task} cannot be labelled")

    def settle(self, lineup: LineupServer, since: float = 0.0) -> State:
        """Wait until Lineup has nothing left to do, idle work included; return what the project has come to."""
        last = lineup.wait(self.project.id, labels=len(self.labels), since=since, timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while left := self._left(lineup):
            assert time.monotonic() < deadline, (
                f"{last.version}: {left}\n{lineup.log_path.read_text()[-3000:]}"
            )
            time.sleep(0.3)
        return read_state(self.project, lineup)

    def _left(self, lineup: LineupServer) -> str:
        """Return what the idle work has not done yet."""
        published = lineup.registry(self.project.id).published()
        if (served := self.project.served_version()) != published:
            return f"Label Studio serves {served}, {published} is published"
        for task in self.project.tasks():
            versions = [prediction["model_version"] for prediction in task["predictions"]]
            if versions != [published]:
                return f"task {task['id']} has predictions of {versions}"
        return ""

    def assert_as_if_nothing_had_happened(self, lineup: LineupServer, folder: Path) -> None:
        """Nothing is lost, and an undisturbed Lineup makes the same of a project of the same images and labels."""
        assert_nothing_lost(self.project, self.labels)
        twin = self._twin()
        with LineupServer(self.server, folder, **HASTY) as other:
            other.connect(twin.project.id)
            undisturbed = twin.settle(other)
        deadline = time.monotonic() + PATIENCE
        while found := different(read_state(self.project, lineup), undisturbed):
            # the last fields are written when nobody has labelled for a while
            assert time.monotonic() < deadline, f"{len(found)} differences:\n" + "\n".join(found[:20])
            time.sleep(1)

    def _twin(self) -> Scene:
        project = self.project
        number = self.server.create_project("undisturbed", LABEL_CONFIG)
        self.server.serve_folder(number, self.server.files_dir / "digits")
        tasks = []
        for task in sorted(project.tasks(), key=lambda task: int(task["id"])):
            data = {name: task["data"][name] for name in ("image", "origin")}
            given = [{"result": a["result"], "completed_by": a["completed_by"]} for a in task["annotations"]]
            tasks.append({"data": data, **({"annotations": given} if given else {})})
        ids = self.server.import_tasks(number, tasks)
        twin = DigitsProject(self.server, number, ids, list(project.truths))
        to = dict(zip(sorted(project.ids), ids, strict=True))
        return Scene(self.server, twin, self.rng, {to[task]: label for task, label in self.labels.items()})
